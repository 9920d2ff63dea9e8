//! The models that MBSD is compared with: exported by the same compiler, run by both engines, their multiply-adds counted.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor as BurnTensor, TensorData};
use mbsd_export::{Compiler, Extent, Inputs, Output, onnx};
use mbsd_net::baselines::{Bert, Vilt, Vit};
use mbsd_net::{ImageInput, TextInput};
use mbsd_runtime::engine::SessionOptions;
use mbsd_runtime::onnx::Graph;
use mbsd_spec::{Config, Task, Tensor, Variant};
use mbsd_tests::graphs::keep;
use mbsd_tests::{engines, max_difference, models, tolerance};

const CLASSES: usize = 3;

/// Multiply-adds of an encoder over `tokens`, of which the last layer computes `last`, with a linear map behind it.
fn encoder(config: &Config, tokens: usize, last: usize) -> usize {
    let (width, inner) = (config.hidden_size, config.intermediate_size);
    let layer = |queries: usize| {
        let projections = 2 * tokens * width * width + 2 * queries * width * width;
        projections + 2 * queries * tokens * width + 2 * queries * width * inner
    };
    (config.num_hidden_layers - 1) * layer(tokens) + layer(last) + width * CLASSES
}

fn patches(config: &Config) -> usize {
    config.patches() * config.hidden_size * config.num_channels * config.patch_size * config.patch_size
}

fn pooler(config: &Config) -> usize {
    config.hidden_size * config.hidden_size
}

/// `input_ids`, `attention_mask`, `token_type_ids`, then pixels, of the graphs that take them.
fn declared(config: &Config, text: bool, image: bool) -> Compiler {
    let mut compiler = Compiler::new();
    if text {
        for name in ["input_ids", "attention_mask", "token_type_ids"] {
            compiler =
                compiler.int(name, ["batch".into(), Extent::symbol_up_to("text", config.max_position_embeddings)]);
        }
    }
    if image {
        let side = config.image_size;
        compiler = compiler.float("pixel_values", ["batch".into(), 3.into(), side.into(), side.into()]);
    }
    compiler
}

fn text(inputs: &Inputs) -> TextInput {
    let [input_ids, attention_mask, token_type_ids] =
        ["input_ids", "attention_mask", "token_type_ids"].map(|name| inputs.int::<2>(name));
    TextInput { input_ids, attention_mask: Some(attention_mask), token_type_ids: Some(token_type_ids) }
}

/// Exports, compares with Burn through every engine, and counts.
fn check<M: Module>(
    name: &str,
    variant: Variant,
    model: &M,
    forward: impl Fn(&M, &Inputs) -> Vec<Output>,
    count: impl Fn(&Config, usize) -> usize,
) {
    let config = models::odd_config();
    let compiler = declared(&config, variant != Variant::Image, variant != Variant::Text);
    let graph = compiler.compile(model, &forward).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graph.onnx");
    onnx::write(&graph, &path, &Default::default()).unwrap();
    keep(&path, name);
    let inputs = models::rows(&config, Task::Classification, variant, 3, 9);
    let data = |tensor: &Tensor| match tensor {
        Tensor::F32 { shape, data } => TensorData::new(data.to_vec(), shape.to_vec()),
        Tensor::I64 { shape, data } => TensorData::new(data.to_vec(), shape.to_vec()),
    };
    let values: BTreeMap<String, TensorData> = inputs.iter().map(|(name, t)| (name.clone(), data(t))).collect();
    let expected = compiler.evaluate(model, &values, &forward).unwrap();
    for engine in engines::available() {
        let found = engine.load(&path, &SessionOptions::default()).unwrap().run(&inputs).unwrap();
        for (output, expected) in &expected {
            let expected: Vec<f32> = expected.iter::<f32>().collect();
            let difference = max_difference(found[output].as_f32().unwrap(), &expected);
            assert!(difference <= tolerance::ENGINE, "{name}, {}: `{output}` differs by {difference:e}", engine.kind());
        }
    }
    let mut read = Graph::read(&path).unwrap();
    read.infer_shapes(&path).unwrap();
    let counted = read.multiply_adds();
    let sizes = BTreeMap::from([("batch".to_owned(), 1), ("text".to_owned(), 9)]);
    assert!(counted.uncounted.is_empty(), "{name}: {:?}", counted.uncounted);
    assert_eq!(counted.total.eval(&sizes).unwrap(), count(&config, 9) as i128, "{name}: {}", counted.total);
}

#[test]
fn bert_reads_text() {
    let bert = Bert::init(&models::odd_config(), CLASSES, &Device::flex());
    let forward = |bert: &Bert, inputs: &Inputs| vec![Output::new("logits", bert.logits(text(inputs)))];
    check("bert", Variant::Text, &bert, forward, |config, text| encoder(config, text, 1) + pooler(config));
    for (text, whole) in [(64, 5.5), (144, 12.6)] {
        let all = (encoder(&Config::base(), text, text) + pooler(&Config::base())) as f64 / 1e9;
        assert!((all - whole).abs() < 0.05, "{all} GMAC at base size and {text} tokens");
    }
}

#[test]
fn vit_reads_images_and_a_tag_behind_them() {
    let vit = Vit::init(&models::odd_config(), CLASSES, &Device::flex());
    let image =
        |vit: &Vit, inputs: &Inputs| vec![Output::new("logits", vit.logits(inputs.float("pixel_values"), None))];
    let tokens = |config: &Config| 1 + config.patches();
    let alone = |config: &Config, _| encoder(config, tokens(config), 1) + patches(config);
    check("vit", Variant::Image, &vit, image, alone);
    let tagged = |vit: &Vit, inputs: &Inputs| {
        let tag = Some((inputs.int::<2>("input_ids"), Some(inputs.int::<2>("attention_mask"))));
        vec![Output::new("logits", vit.logits(inputs.float("pixel_values"), tag))]
    };
    let both = |config: &Config, tag| encoder(config, tokens(config) + tag, 1) + patches(config);
    check("vit with a tag", Variant::Full, &vit, tagged, both);
    assert_eq!(tokens(&Config::base()), 50);
}

#[test]
fn vilt_reads_both() {
    let vilt = Vilt::init(&models::odd_config(), CLASSES, &Device::flex());
    let forward = |vilt: &Vilt, inputs: &Inputs| {
        vec![Output::new(
            "logits",
            vilt.logits(text(inputs), ImageInput { pixel_values: inputs.float("pixel_values"), present: None }),
        )]
    };
    let count = |config: &Config, text: usize, last: Option<usize>| {
        let tokens = text + 1 + config.patches();
        encoder(config, tokens, last.unwrap_or(tokens)) + patches(config) + pooler(config)
    };
    check("vilt", Variant::Full, &vilt, forward, |config, text| count(config, text, Some(1)));
    for (text, whole) in [(64, 10.0), (144, 17.3)] {
        let all = count(&Config::base(), text, None) as f64 / 1e9;
        assert!((all - whole).abs() < 0.05, "{all} GMAC at base size and {text} tokens");
    }
}

/// With every parameter 0 a residual layer adds nothing; one with its LayerNorm behind would give 0.
#[test]
fn layers_with_their_norm_in_front_pass_the_first_token_on() {
    struct Zeros;
    impl ModuleMapper for Zeros {
        fn map_float<const D: usize>(&mut self, param: Param<BurnTensor<D>>) -> Param<BurnTensor<D>> {
            param.map(|tensor| tensor.zeros_like())
        }
    }
    let config = models::odd_config();
    let encoder = Vit::init(&config, CLASSES, &Device::flex()).encoder.map(&mut Zeros);
    let shape = [2, 5, config.hidden_size];
    let data = TensorData::new(models::noise(shape.iter().product(), 3), shape);
    let hidden = BurnTensor::<3>::from_data(data, &Device::flex());
    let first = models::plain(hidden.clone().narrow(1, 0, 1));
    assert_eq!(models::plain(encoder.forward_first_pre_norm(hidden, None)), first);
}
