//! The folder of a model on the Hugging Face Hub: file names and fields as transformers and optimum have them.

use mbsd_spec::bundle::{Artifact, StagedFolder, names};
use mbsd_spec::{Bundle, Precision, Task, Tokenizer, Variant};
use serde_json::{Map, Value, json};

use super::{LayoutOptions, PRODUCTS_CLIENT};

/// The client that runs the folder with ONNX Runtime.
const CLIENT: (&str, &str) = ("mbsd_hub.py", include_str!("../../../integrations/mbsd_hub.py"));

pub(super) fn write(bundle: &Bundle, options: LayoutOptions, folder: &StagedFolder) -> anyhow::Result<()> {
    let graphs = graphs(bundle);
    let tokenizer_file = super::tokenizer(bundle)?;
    let tokenizer = Tokenizer::from_file(&tokenizer_file)?;
    for (artifact, name) in bundle.manifest().artifacts.iter().zip(&graphs) {
        super::place_graph(bundle, artifact, options, &folder.place(name)?)?;
    }
    super::copy(&tokenizer_file, folder, names::TOKENIZER)?;
    folder.write(names::CONFIG, super::config(bundle, &graphs)?)?;
    folder.write(names::PREPROCESSOR, super::preprocessor(bundle)?)?;
    folder.write("special_tokens_map.json", pretty(&Value::Object(special_tokens(&tokenizer)))?)?;
    folder.write("tokenizer_config.json", pretty(&tokenizer_config(bundle, &tokenizer))?)?;
    folder.write("README.md", card(bundle, &graphs))?;
    for (name, text) in [PRODUCTS_CLIENT, CLIENT] {
        folder.write(name, text)?;
    }
    Ok(())
}

/// Names in the manner of optimum and transformers.js: `model.onnx` is the graph to take where one does not choose.
fn graphs(bundle: &Bundle) -> Vec<String> {
    let artifacts = &bundle.manifest().artifacts;
    let first = Variant::ENCODERS.into_iter().find(|&variant| artifacts.iter().any(|a| a.variant == variant));
    let name = |artifact: &Artifact| {
        let stem = match artifact.variant {
            variant if Some(variant) == first => "model",
            Variant::Full => "full_model",
            Variant::Text => "text_model",
            Variant::Image => "vision_model",
            Variant::Pair => "pair_model",
            other => other.name(),
        };
        format!("{}/{stem}{}.onnx", names::GRAPHS, artifact.precision.file_suffix())
    };
    artifacts.iter().map(name).collect()
}

fn special_tokens(tokenizer: &Tokenizer) -> Map<String, Value> {
    let named = [
        ("pad_token", tokenizer.pad_id()),
        ("unk_token", tokenizer.unk_id()),
        ("cls_token", tokenizer.cls_id()),
        ("sep_token", tokenizer.sep_id()),
        ("mask_token", tokenizer.mask_id()),
    ];
    named.into_iter().filter_map(|(name, id)| Some((name.to_owned(), json!(tokenizer.token(id)?)))).collect()
}

/// The class reads tokenizer.json as it is; BERT's own would write its lower-casing over it.
fn tokenizer_config(bundle: &Bundle, tokenizer: &Tokenizer) -> Value {
    let mut config = special_tokens(tokenizer);
    config.insert("tokenizer_class".to_owned(), json!("PreTrainedTokenizerFast"));
    config.insert("model_max_length".to_owned(), json!(bundle.manifest().max_text_tokens));
    config.insert("model_input_names".to_owned(), json!(["input_ids", "token_type_ids", "attention_mask"]));
    // "[SEP]" typed into a title is letters and brackets, not the end of the title.
    config.insert("split_special_tokens".to_owned(), json!(true));
    config.insert("clean_up_tokenization_spaces".to_owned(), json!(false));
    config.insert("padding_side".to_owned(), json!("right"));
    config.insert("truncation_side".to_owned(), json!("right"));
    Value::Object(config)
}

fn pretty(value: &Value) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// The model card.
fn card(bundle: &Bundle, graphs: &[String]) -> String {
    let manifest = bundle.manifest();
    let (asks, pipeline, call) = match manifest.task {
        Task::Match => (
            "scores how well a tag describes a product. The score is the sigmoid of the logit.",
            "zero-shot-classification",
            "python mbsd_hub.py --model . --input products.jsonl --tags tags.txt --output scores.jsonl",
        ),
        Task::Classification => (
            "puts a product into a class. The score is the softmax of the logits.",
            "text-classification",
            "python mbsd_hub.py --model . --input products.jsonl --output classes.jsonl",
        ),
        Task::Alignment => (
            "says whether two products are the same: each is encoded once, and the pair graph compares two pooled vectors.",
            "feature-extraction",
            "python mbsd_hub.py --model . --input products.jsonl --pairs pairs.jsonl --output scores.jsonl",
        ),
    };
    let half = if manifest.artifacts.iter().any(|artifact| artifact.precision == Precision::F16) {
        "`--precision f16` takes the half-precision graphs. "
    } else {
        ""
    };
    let row = match manifest.task {
        Task::Match => {
            "`[CLS] tag [SEP] title [SEP]`, `token_type_ids` 0 up to and including the first `[SEP]` and 1 after; an image-only row is `[CLS] tag [SEP]`"
        }
        _ => "`[CLS] title [SEP]`, `token_type_ids` 0",
    };
    format!(
        "---\nlibrary_name: onnx\npipeline_tag: {pipeline}\ntags:\n- onnx\n- mbsd\n- e-commerce\n---\n\n\
         # MBSD, {task}\n\n\
         A vision-and-language model for products (Liu et al., *Multimodal Pre-Training with Self-Distillation for Product \
         Understanding in E-Commerce*, WSDM 2023) that {asks} {parameters} parameters. There are ONNX graphs only, no weights for \
         another framework; `architectures` in config.json names the nearest class of transformers.\n\n\
         ## Graphs\n\n{table}\n\
         Differences were measured at export, on rows made up for it. Opset {opset}, self-contained.\n\n\
         ## Inputs\n\n\
         A row is {row}; at most {tokens} tokens, only the title is cut. Padding has `attention_mask` 0. `pixel_values` are \
         the image squashed to {side} x {side}, bicubic with antialiasing, as preprocessor_config.json says.\n\n\
         ## Use\n\n\
         ```sh\npip install onnxruntime tokenizers pillow numpy\n{call}\n```\n\n\
         Products are JSON Lines with `id`, `title` and `image` (a path). {half}`mbsd_products.py` has the steps one by one. The \
         tokenizer and the image processor load with `AutoTokenizer` and `AutoImageProcessor` too.\n\n\
         ## Origin\n\nExported by {producer} from weights with SHA-256 `{weights}`.\n",
        task = manifest.task,
        parameters = manifest.provenance.parameters,
        table = super::parity_table(bundle, graphs),
        opset = manifest.artifacts.first().map_or(0, |artifact| artifact.opset),
        tokens = manifest.max_text_tokens,
        side = bundle.config().image_size,
        producer = manifest.provenance.producer,
        weights = manifest.provenance.weights_sha256,
    )
}
