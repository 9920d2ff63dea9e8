//! The Hub layout: names and fields as transformers and optimum expect them.

use std::fs;
use std::path::Path;

use mbsd_net::Head;
use mbsd_runtime::engine::SessionOptions;
use mbsd_spec::{Bundle, Config, Preprocessor, Tokenizer};
use mbsd_tests::engines;
use serde_json::{Value, json};

use crate::{Case, files};

fn read(root: &Path, name: &str) -> Value {
    serde_json::from_slice(&fs::read(root.join(name)).unwrap()).unwrap()
}

#[test]
fn a_match_model_has_what_the_hub_expects() {
    let case = Case::new(Head::Match);
    let bundle = Bundle::open(case.export("bundle", &[])).unwrap();
    let hub = case.relayout(bundle.root(), "hf", "hub", &[]);
    let graphs = ["model", "model_fp16", "text_model", "text_model_fp16", "vision_model", "vision_model_fp16"];
    let mut names: Vec<String> = graphs.iter().map(|name| format!("onnx/{name}.onnx")).collect();
    names.extend(
        [
            "README.md",
            "config.json",
            "mbsd_hub.py",
            "mbsd_products.py",
            "preprocessor_config.json",
            "special_tokens_map.json",
            "tokenizer.json",
            "tokenizer_config.json",
        ]
        .map(str::to_owned),
    );
    names.sort();
    assert_eq!(files(&hub).into_keys().collect::<Vec<_>>(), names);
    assert!(
        fs::read(hub.join("onnx/model_fp16.onnx")).unwrap()
            == fs::read(bundle.root().join("onnx/full_fp16.onnx")).unwrap()
    );

    let config = read(&hub, "config.json");
    assert_eq!(config["model_type"], "bert");
    assert_eq!(config["architectures"], json!(["BertForSequenceClassification"]));
    assert_eq!((&config["id2label"], &config["label2id"]), (&json!({"0": "match"}), &json!({"match": 0})));
    assert_eq!(config["problem_type"], "multi_label_classification");
    assert_eq!(config["mbsd"]["threshold"], 0.5);
    assert_eq!(
        config["mbsd"]["graphs"][4],
        json!({"name": "onnx/vision_model.onnx", "variant": "image", "precision": "f32",
               "inputs": ["input_ids", "attention_mask", "token_type_ids", "pixel_values"]})
    );
    assert_eq!(&Config::from_file(hub.join("config.json")).unwrap(), bundle.config(), "our own reader takes it too");

    let tokenizer = read(&hub, "tokenizer_config.json");
    assert_eq!(
        (&tokenizer["tokenizer_class"], &tokenizer["model_max_length"]),
        (&"PreTrainedTokenizerFast".into(), &40.into())
    );
    let special = read(&hub, "special_tokens_map.json");
    for (name, token) in [("pad", "[PAD]"), ("unk", "[UNK]"), ("cls", "[CLS]"), ("sep", "[SEP]"), ("mask", "[MASK]")] {
        let name = format!("{name}_token");
        assert_eq!((&special[&name], &tokenizer[&name]), (&token.into(), &token.into()));
    }
    Tokenizer::from_file(hub.join("tokenizer.json")).unwrap().check_fits(bundle.config()).unwrap();
    let preprocessor = Preprocessor::from_file(hub.join("preprocessor_config.json")).unwrap();
    preprocessor.check_fits(bundle.config()).unwrap();
    assert_eq!(read(&hub, "preprocessor_config.json")["image_processor_type"], "ViTImageProcessor");

    let card = fs::read_to_string(hub.join("README.md")).unwrap();
    let (front, body) = card.strip_prefix("---\n").unwrap().split_once("---\n").unwrap();
    assert!(front.contains("library_name: onnx\n") && front.contains("pipeline_tag: zero-shot-classification\n"));
    assert!(body.contains("| `onnx/model_fp16.onnx` | title and image | f16 | "), "{body}");
    assert!(body.contains("(tract 0.23.9) |"), "parity as measured: {body}");
    for engine in engines::available() {
        for name in graphs {
            engine.load(&hub.join(format!("onnx/{name}.onnx")), &SessionOptions::default()).unwrap();
        }
    }
}

#[test]
fn labels_are_those_of_the_task() {
    let case = Case::new(Head::Classification { classes: 3 });
    fs::write(case.at("checkpoint/labels.txt"), "Shoe\nBag\n裙\n").unwrap();
    let config = read(&case.export("hf", &["--variants", "text,image"]), "config.json");
    assert_eq!(config["id2label"], json!({"0": "Shoe", "1": "Bag", "2": "裙"}));
    assert_eq!(config["label2id"], json!({"Shoe": 0, "Bag": 1, "裙": 2}));
    assert_eq!(config["problem_type"], "single_label_classification");
    let names: Vec<&Value> = config["mbsd"]["graphs"].as_array().unwrap().iter().map(|graph| &graph["name"]).collect();
    let expected = ["model", "model_fp16", "vision_model", "vision_model_fp16"].map(|name| format!("onnx/{name}.onnx"));
    assert_eq!(names, expected.iter().collect::<Vec<_>>(), "without a full graph the text graph is the one to take");

    let case = Case::new(Head::Alignment);
    let hub = case.export("hf", &[]);
    let config = read(&hub, "config.json");
    assert_eq!((&config["architectures"], config.get("id2label")), (&json!(["BertModel"]), None));
    assert!(hub.join("onnx/pair_model.onnx").is_file());
}
