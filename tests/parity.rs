//! The same numbers from the reference, from Burn and from every engine.

use std::path::PathBuf;

use burn::tensor::{Device, Tensor as BurnTensor, TensorData};
use mbsd_export::bundle::{ExportRequest, export};
use mbsd_export::{mbsd, onnx};
use mbsd_net::{Head, Mbsd};
use mbsd_runtime::engine::{Engine, Session, SessionOptions};
use mbsd_spec::{Bundle, Config, NamedTensors, Patchify, Precision, Task, Tensor, Variant};
use mbsd_tests::{engines, max_difference, models, reference, tolerance};

const BATCHES: [usize; 5] = [1, 2, 3, 8, 33];

/// The text lengths of the comparison, `[.., max positions]`.
fn lengths(config: &Config) -> Vec<usize> {
    let longest = config.max_position_embeddings;
    [3, 7, 18, 32].into_iter().filter(|&t| t < longest).chain([longest]).collect()
}

fn export_case(case: &str, folder: &std::path::Path) -> (Mbsd, Config, Bundle) {
    let config = reference::config();
    let config_file = folder.join("config.json");
    std::fs::write(&config_file, config.to_json()).unwrap();
    let out: PathBuf = folder.join("bundle");
    export(&ExportRequest {
        checkpoint: reference::weights(case),
        config: Some(config_file),
        task: None,
        variants: Variant::ENCODERS.to_vec(),
        precisions: vec![Precision::F32],
        shared_weights: false,
        tokenizer: None,
        labels: None,
        engines: Vec::new(),
        engine_options: Default::default(),
        layout: Default::default(),
        tensorrt: false,
        out: out.clone(),
    })
    .unwrap();
    let (model, _) = mbsd_net::load(reference::weights(case), &config, None, &Device::flex()).unwrap();
    (model, config, Bundle::open(out).unwrap())
}

fn session(engine: &dyn Engine, bundle: &Bundle, variant: Variant) -> Box<dyn Session> {
    let (_, path) = bundle.artifact(variant, Precision::F32).unwrap();
    engine.load(&path, &SessionOptions::default()).unwrap()
}

fn assert_close(what: &str, expected: &NamedTensors, found: &NamedTensors, tolerance: f32) {
    for (name, expected) in expected {
        let found = found.get(name).unwrap_or_else(|| panic!("{what}: no output `{name}`"));
        assert_eq!(expected.shape(), found.shape(), "{what}: shape of `{name}`");
        let difference = max_difference(expected.as_f32().unwrap(), found.as_f32().unwrap());
        assert!(difference <= tolerance, "{what}: `{name}` differs by {difference:e}, tolerance {tolerance:e}");
    }
}

/// Every batch size and text length through every engine, against Burn; and each row alone against itself in the batch.
fn compare_with_burn(model: &Mbsd, config: &Config, load: &mut dyn FnMut(&dyn Engine, Variant) -> Box<dyn Session>) {
    let task = model.head().task();
    for engine in engines::available() {
        for variant in Variant::ENCODERS {
            let mut session = load(engine.as_ref(), variant);
            for batch in BATCHES {
                for text in lengths(config) {
                    let inputs = models::rows(config, task, variant, batch, text);
                    let what = format!("{task} {variant} {} batch {batch} text {text}", engine.kind());
                    let outputs = session.run(&inputs).unwrap_or_else(|e| panic!("{what}: {e}"));
                    assert_close(&what, &models::burn_outputs(model, &inputs), &outputs, tolerance::ENGINE);
                    if batch == 3 {
                        rows_stand_alone(&what, session.as_mut(), &inputs, &outputs);
                    }
                    if !models::takes(task, variant).0 {
                        break;
                    }
                }
            }
        }
    }
}

/// Each row by itself, without its padding, gives what it gave in the batch.
fn rows_stand_alone(what: &str, session: &mut dyn Session, inputs: &NamedTensors, outputs: &NamedTensors) {
    let batch = inputs.values().next().unwrap().shape()[0];
    for row in 0..batch {
        let tokens = inputs.get("attention_mask").map(|mask| {
            let width = mask.shape()[1];
            mask.as_i64().unwrap()[row * width..][..width].iter().sum::<i64>() as usize
        });
        let single: NamedTensors =
            inputs.iter().map(|(name, tensor)| (name.clone(), take_row(tensor, row, tokens))).collect();
        let expected = outputs.iter().map(|(name, tensor)| (name.clone(), take_row(tensor, row, None))).collect();
        let found = session.run(&single).unwrap();
        assert_close(&format!("{what}: row {row} alone"), &expected, &found, tolerance::BATCH_MATES);
    }
}

/// One row of a tensor; of an integer tensor only its first `tokens` values.
fn take_row(tensor: &Tensor, row: usize, tokens: Option<usize>) -> Tensor {
    let mut shape = tensor.shape().to_vec();
    let width: usize = shape[1..].iter().product();
    shape[0] = 1;
    match (tensor, tokens) {
        (Tensor::I64 { data, .. }, Some(tokens)) => {
            Tensor::i64([1, tokens], data[row * width..][..tokens].to_vec()).unwrap()
        }
        (Tensor::I64 { data, .. }, None) => Tensor::i64(shape, data[row * width..][..width].to_vec()).unwrap(),
        (Tensor::F32 { data, .. }, _) => Tensor::f32(shape, data[row * width..][..width].to_vec()).unwrap(),
    }
}

/// Inputs of a reference case under the graph's names; segments are all 0 where the case has none.
fn case_inputs(io: &NamedTensors, prefix: &str, names: &[&str]) -> NamedTensors {
    names
        .iter()
        .map(|&name| {
            let tensor = io.get(&format!("{prefix}{name}")).cloned().unwrap_or_else(|| {
                assert_eq!(name, "token_type_ids", "the case lacks {prefix}{name}");
                let ids = &io[&format!("{prefix}input_ids")];
                Tensor::i64(ids.shape(), vec![0; ids.as_i64().unwrap().len()]).unwrap()
            });
            (name.to_owned(), tensor)
        })
        .collect()
}

const TEXT: [&str; 3] = ["input_ids", "attention_mask", "token_type_ids"];
const FULL: [&str; 4] = ["input_ids", "attention_mask", "token_type_ids", "pixel_values"];

mod reference_cases {
    use super::*;

    #[test]
    fn classification() {
        let folder = tempfile::tempdir().unwrap();
        let (model, config, bundle) = export_case("classification", folder.path());
        let io = reference::io("classification");
        for engine in engines::available() {
            for (variant, names) in
                [(Variant::Full, &FULL[..]), (Variant::Text, &TEXT), (Variant::Image, &["pixel_values"])]
            {
                let expected: NamedTensors = ["logits", "pooled"]
                    .iter()
                    .map(|name| ((*name).to_owned(), io[&format!("{variant}.{name}")].clone()))
                    .collect();
                let found = session(engine.as_ref(), &bundle, variant).run(&case_inputs(&io, "", names)).unwrap();
                let what = format!("classification {variant} {}", engine.kind());
                assert_close(&what, &expected, &found, tolerance::ENGINE);
            }
        }
        compare_with_burn(&model, &config, &mut |engine, variant| session(engine, &bundle, variant));
    }

    #[test]
    fn matching() {
        let folder = tempfile::tempdir().unwrap();
        let (model, config, bundle) = export_case("match", folder.path());
        let io = reference::io("match");
        for engine in engines::available() {
            let found = session(engine.as_ref(), &bundle, Variant::Full).run(&case_inputs(&io, "", &FULL)).unwrap();
            let expected = NamedTensors::from([("logits".to_owned(), io["logits"].clone())]);
            assert_close(&format!("match {}", engine.kind()), &expected, &found, tolerance::ENGINE);
        }
        compare_with_burn(&model, &config, &mut |engine, variant| session(engine, &bundle, variant));
    }

    #[test]
    fn alignment() {
        let folder = tempfile::tempdir().unwrap();
        let (model, config, bundle) = export_case("alignment", folder.path());
        let io = reference::io("alignment");
        for engine in engines::available() {
            let mut encoder = session(engine.as_ref(), &bundle, Variant::Full);
            let mut pooled =
                |prefix: &str| encoder.run(&case_inputs(&io, prefix, &FULL)).unwrap().remove("pooled").unwrap();
            let pair =
                NamedTensors::from([("source".to_owned(), pooled("src_")), ("target".to_owned(), pooled("tgt_"))]);
            let found = session(engine.as_ref(), &bundle, Variant::Pair).run(&pair).unwrap();
            let expected = NamedTensors::from([("logits".to_owned(), io["logits"].clone())]);
            assert_close(&format!("alignment {}", engine.kind()), &expected, &found, tolerance::ENGINE);
        }
        compare_with_burn(&model, &config, &mut |engine, variant| session(engine, &bundle, variant));
    }
}

/// Patch 16, other widths, heads, layers, vocabulary: nothing in the compiler knows the reference's sizes.
#[test]
fn other_dimensions() {
    let config = models::odd_config();
    let folder = tempfile::tempdir().unwrap();
    for head in [Head::Match, Head::Classification { classes: 5 }, Head::Alignment] {
        let model = Mbsd::init(&config, head, &Device::flex());
        let mut load = |engine: &dyn Engine, variant: Variant| {
            let path = folder.path().join(format!("{}-{variant}.onnx", head.task()));
            let graph = mbsd::compile(&model, &config, variant).unwrap();
            onnx::write(&graph, &path, &Default::default()).unwrap();
            engine.load(&path, &SessionOptions::default()).unwrap()
        };
        compare_with_burn(&model, &config, &mut load);
    }
}

/// Both pair heads: linear over two products, and with their distance and product.
#[test]
fn pair_heads() {
    let config = models::odd_config();
    let folder = tempfile::tempdir().unwrap();
    for (head, inputs) in [(Head::Alignment, 2), (Head::Comparison, 4)] {
        let weights = folder.path().join("model.safetensors");
        mbsd_net::save(&Mbsd::init(&config, head, &Device::flex()), &weights).unwrap();
        let (model, _) = mbsd_net::load(&weights, &config, Some(Task::Alignment), &Device::flex()).unwrap();
        assert_eq!((model.head(), model.classifier.weight.dims()), (head, [inputs * config.hidden_size, 1]));
        let path = folder.path().join("pair.onnx");
        onnx::write(&mbsd::compile(&model, &config, Variant::Pair).unwrap(), &path, &Default::default()).unwrap();
        let shape = [3, config.hidden_size];
        let [source, target] = [3, 4].map(|seed| models::noise(shape.iter().product(), seed));
        let burn = |data: &[f32]| BurnTensor::<2>::from_data(TensorData::new(data.to_vec(), shape), &Device::flex());
        let logits = models::plain(model.pair_logits(burn(&source), burn(&target)));
        let plain = |data| mbsd_spec::Tensor::f32(shape, data).unwrap();
        let pair = NamedTensors::from([("source".to_owned(), plain(source)), ("target".to_owned(), plain(target))]);
        for engine in engines::available() {
            let found = engine.load(&path, &SessionOptions::default()).unwrap().run(&pair).unwrap();
            let expected = NamedTensors::from([("logits".to_owned(), logits.clone())]);
            assert_close(&format!("{head:?} {}", engine.kind()), &expected, &found, tolerance::ENGINE);
        }
    }
}

/// One linear map of a patch's pixels in the place of the patchify network, saved, loaded and compiled.
#[test]
fn linear_patches() {
    let config = Config { patchify: Patchify::Linear, ..models::odd_config() };
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("model.safetensors");
    mbsd_net::save(&Mbsd::init(&config, Head::Match, &Device::flex()), &weights).unwrap();
    let (model, report) = mbsd_net::load(&weights, &config, Some(Task::Match), &Device::flex()).unwrap();
    let patchify: Vec<&String> = report.loaded.iter().filter(|name| name.contains("patch_embeddings")).collect();
    let module = "bert.img_embeddings.patch_embeddings.projection.0";
    assert_eq!(patchify, [&format!("{module}.bias"), &format!("{module}.weight")]);
    let error = mbsd_net::load(&weights, &models::odd_config(), None, &Device::flex()).unwrap_err().to_string();
    assert!(error.contains(module), "{error}");

    // Training takes another way through the patches.
    let (training, _) = mbsd_net::load(&weights, &config, None, &Device::flex().autodiff()).unwrap();
    let side = config.image_size;
    let features = |model: &Mbsd, device: Device| {
        let pixels = TensorData::new(models::noise(2 * 3 * side * side, 5), [2, 3, side, side]);
        let features = model.patch_features(BurnTensor::from_data(pixels, &device));
        NamedTensors::from([("features".to_owned(), models::plain(features))])
    };
    let found = features(&training, Device::flex().autodiff());
    assert_close("training", &features(&model, Device::flex()), &found, tolerance::ENGINE);

    let mut load = |engine: &dyn Engine, variant: Variant| {
        let path = folder.path().join(format!("{variant}.onnx"));
        let graph = mbsd::compile(&model, &config, variant).unwrap();
        onnx::write(&graph, &path, &Default::default()).unwrap();
        engine.load(&path, &SessionOptions::default()).unwrap()
    };
    compare_with_burn(&model, &config, &mut load);
}

/// A text graph carries no image weight, an image graph no word embedding.
#[test]
fn a_graph_carries_only_the_weights_it_needs() {
    let config = models::odd_config();
    let model = Mbsd::init(&config, Head::Classification { classes: 5 }, &Device::flex());
    let names = |variant| -> Vec<String> {
        let graph = mbsd::compile(&model, &config, variant).unwrap();
        graph.weights.values().map(|weight| weight.name.clone()).collect()
    };
    assert!(names(Variant::Text).iter().all(|name| !name.starts_with("image.")));
    assert!(names(Variant::Image).iter().all(|name| !name.starts_with("embeddings.")));
    let full = names(Variant::Full);
    assert!(full.iter().any(|name| name.starts_with("image.")));
    assert!(full.contains(&"encoder.layer.2.attention.query.weight".to_owned()));
    assert_eq!(model.head().task(), Task::Classification);
}

#[test]
fn the_same_model_gives_the_same_bytes() {
    let config = models::odd_config();
    let model = Mbsd::init(&config, Head::Match, &Device::flex());
    let folder = tempfile::tempdir().unwrap();
    let bytes = |name: &str| {
        let path = folder.path().join(name);
        onnx::write(&mbsd::compile(&model, &config, Variant::Full).unwrap(), &path, &Default::default()).unwrap();
        std::fs::read(path).unwrap()
    };
    assert!(bytes("a.onnx") == bytes("b.onnx"));
}
