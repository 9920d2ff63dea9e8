//! The models that MBSD is compared with: exported by the same compiler, run by both engines, their multiply-adds counted.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor as BurnTensor, TensorData};
use mbsd_export::compared::{Compared, Part};
use mbsd_export::mbsd::{self, text_input as text};
use mbsd_export::{Inputs, Output, onnx};
use mbsd_net::baselines::{Bert, FashionBert, KaleidoBert, PatchPixels, ResNetSize, Vilt, Vit};
use mbsd_net::{ImageInput, PatchInput, TextInput};
use mbsd_runtime::engine::SessionOptions;
use mbsd_runtime::onnx::Graph;
use mbsd_spec::{Config, Task, Tensor, Variant};
use mbsd_tests::binaries::{program, succeed};
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

/// Exports, compares with Burn through every engine, and counts.
fn check<M: Module>(
    name: &str,
    variant: Variant,
    model: &M,
    forward: impl Fn(&M, &Inputs) -> Vec<Output>,
    count: impl Fn(&Config, usize) -> usize,
) {
    let config = models::odd_config();
    let compiler = mbsd::inputs(&config, variant != Variant::Image, variant != Variant::Text);
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
    assert_eq!(counted(&path, 9), count(&config, 9), "{name}");
}

/// Multiply-adds of a graph for one row of `text` tokens.
fn counted(path: &Path, text: u64) -> usize {
    let mut graph = Graph::read(path).unwrap();
    graph.infer_shapes(path).unwrap();
    let counted = graph.multiply_adds();
    let sizes = BTreeMap::from([("batch".to_owned(), 1), ("text".to_owned(), text)]);
    assert!(counted.uncounted.is_empty(), "{}: {:?}", path.display(), counted.uncounted);
    counted.total.eval(&sizes).unwrap() as usize
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

/// Small enough to compute in a test, and with a stage of more than one block.
const RESNET: ResNetSize = ResNetSize { width: 4, blocks: [1, 2, 1, 1] };

/// Multiply-adds of a ResNet over an image of `side` pixels; its bottlenecks widen by 4.
fn resnet(ResNetSize { width, blocks }: ResNetSize, side: usize) -> usize {
    let halved = |side: usize| side.div_ceil(2);
    let stem = halved(side);
    let mut total = stem * stem * width * 3 * 49;
    let (mut side, mut inputs) = (halved(stem), width);
    for (stage, count) in blocks.into_iter().enumerate() {
        let inner = width << stage;
        for block in 0..count {
            let out = if stage > 0 && block == 0 { halved(side) } else { side };
            let (before, after) = (side * side, out * out);
            total += before * inputs * inner + after * inner * inner * 9 + after * inner * inner * 4;
            total += if block == 0 { after * inputs * inner * 4 } else { 0 };
            (side, inputs) = (out, inner * 4);
        }
    }
    total
}

/// Multiply-adds of the image encoder over images cut `cuts` times along each side.
fn cut_images(size: ResNetSize, image: usize, pixels: PatchPixels, cuts: &[usize]) -> usize {
    let seen = |cuts: usize| match pixels {
        PatchPixels::Native => image / cuts,
        PatchPixels::Resized(side) => side,
    };
    cuts.iter().map(|&cuts| cuts * cuts * resnet(size, seen(cuts))).sum()
}

const FASHION_CUTS: [usize; 1] = [4];
const KALEIDO_CUTS: [usize; 5] = [1, 2, 3, 4, 5];

fn patch_count(cuts: &[usize]) -> usize {
    cuts.iter().map(|cuts| cuts * cuts).sum()
}

/// Multiply-adds of BERT over text and the features of patches; Kaleido-BERT's places are counted once for all rows.
fn over_features(config: &Config, size: ResNetSize, text: usize, cuts: &[usize], last: Option<usize>) -> usize {
    let patches = patch_count(cuts);
    let tokens = text + patches;
    let places = if cuts == KALEIDO_CUTS { patches * 5 * config.hidden_size } else { 0 };
    encoder(config, tokens, last.unwrap_or(tokens)) - config.hidden_size * CLASSES
        + pooler(config)
        + patches * size.features() * config.hidden_size
        + places
}

#[test]
fn fashionbert_and_kaleido_bert_read_patches_through_a_resnet() {
    for pixels in [PatchPixels::Native, PatchPixels::Resized(20)] {
        let config = models::odd_config();
        let image = |inputs: &Inputs| ImageInput { pixel_values: inputs.float("pixel_values"), present: None };
        let count = |cuts: &'static [usize]| {
            move |config: &Config, text: usize| {
                over_features(config, RESNET, text, cuts, Some(1))
                    + cut_images(RESNET, config.image_size, pixels, cuts)
                    + config.hidden_size * CLASSES
            }
        };
        let fashion = FashionBert::init(&config, RESNET, pixels, CLASSES, &Device::flex());
        let forward = |fashion: &FashionBert, inputs: &Inputs| {
            vec![
                Output::new("logits", fashion.logits(text(inputs), image(inputs))),
                Output::new("patch_features", fashion.patch_features(inputs.float("pixel_values"))),
            ]
        };
        let name = format!("fashionbert {pixels:?}");
        check(&name, Variant::Full, &fashion, forward, count(&FASHION_CUTS));
        let kaleido = KaleidoBert::init(&config, RESNET, pixels, CLASSES, &Device::flex());
        let forward = |kaleido: &KaleidoBert, inputs: &Inputs| {
            vec![
                Output::new("logits", kaleido.logits(text(inputs), image(inputs))),
                Output::new("patch_features", kaleido.patch_features(inputs.float("pixel_values"))),
            ]
        };
        check(&format!("kaleido-bert {pixels:?}"), Variant::Full, &kaleido, forward, count(&KALEIDO_CUTS));
    }
}

/// What a patch holds makes no difference to a row whose image is not there, and does to others.
#[test]
fn rows_without_an_image_attend_to_their_text_alone() {
    let (config, device) = (models::odd_config(), Device::flex());
    let fashion = FashionBert::init(&config, RESNET, PatchPixels::Native, CLASSES, &device);
    let kaleido = KaleidoBert::init(&config, RESNET, PatchPixels::Native, CLASSES, &device);
    let text = || {
        let ids = TensorData::new(vec![3i64, 7, 11, 2, 3, 7, 11, 2], [2, 4]);
        TextInput { input_ids: BurnTensor::from_data(ids, &device), attention_mask: None, token_type_ids: None }
    };
    let patches = |count: usize, seed: u64| {
        let shape = [2, count, RESNET.features()];
        let features = TensorData::new(models::noise(shape.iter().product(), seed), shape);
        let present = TensorData::new(vec![1f32, 0.0], [2]);
        PatchInput {
            features: BurnTensor::from_data(features, &device),
            present: Some(BurnTensor::from_data(present, &device)),
        }
    };
    let moved = |pooled: &dyn Fn(u64) -> BurnTensor<2>| {
        let [a, b] = [1, 2].map(|seed| pooled(seed).into_data().try_to_vec::<f32>().unwrap());
        let (first, second) = (config.hidden_size, a.len());
        (max_difference(&a[..first], &b[..first]), max_difference(&a[first..second], &b[first..second]))
    };
    for (present, absent) in [
        moved(&|seed| fashion.pooled_patches(text(), patches(FashionBert::PATCHES, seed))),
        moved(&|seed| kaleido.pooled_patches(text(), patches(KaleidoBert::PATCHES, seed))),
    ] {
        assert!(present > 1e-3, "{present}");
        assert_eq!(absent, 0.0);
    }
    let alone = fashion.bert.pooled(text()).into_data().try_to_vec::<f32>().unwrap();
    let beside =
        fashion.pooled_patches(text(), patches(FashionBert::PATCHES, 1)).into_data().try_to_vec::<f32>().unwrap();
    let second = config.hidden_size;
    assert!(max_difference(&alone[second..], &beside[second..]) < 1e-6);
}

/// Figure 8's models in two graphs do what they do in one.
#[test]
fn image_and_transformer_graphs_follow_each_other() {
    let config = models::odd_config();
    let folder = tempfile::tempdir().unwrap();
    for model in Compared::ALL {
        let small = match model {
            Compared::FashionBert(PatchPixels::Resized(_)) => Compared::FashionBert(PatchPixels::Resized(20)),
            Compared::KaleidoBert(PatchPixels::Resized(_)) => Compared::KaleidoBert(PatchPixels::Resized(20)),
            other => other,
        };
        let graphs = small.graphs(&config, RESNET).unwrap();
        for engine in engines::available() {
            let mut values = models::rows(&config, Task::Match, Variant::Full, 2, 9);
            for (part, graph) in &graphs {
                let path = folder.path().join(format!("{small} {}.onnx", part.name()));
                onnx::write(graph, &path, &Default::default()).unwrap();
                keep(&path, &format!("{small} {}", part.name()));
                let taken: Vec<&str> = graph.inputs.iter().map(|(name, _)| name.as_str()).collect();
                let inputs = values.clone().into_iter().filter(|(name, _)| taken.contains(&name.as_str())).collect();
                let found = engine.load(&path, &SessionOptions::default()).unwrap().run(&inputs).unwrap();
                values.extend(found);
            }
            assert_eq!(values["pooled"].shape(), [2, config.hidden_size], "{small}, {}", engine.kind());
            let spread = values["pooled"].as_f32().unwrap();
            assert!(max_difference(&spread[..config.hidden_size], &spread[config.hidden_size..]) > 0.0, "{small}");
        }
    }
}

/// `mbsd inspect` counts them from the graphs; the last layer of a transformer graph computes its first token only.
#[test]
fn patches_through_a_resnet_cost_what_they_should_at_base_size() {
    let (config, size) = (Config::base(), ResNetSize::RESNET_50);
    let gmac = |model: Compared, text: usize| {
        let (pixels, cuts): (_, &[usize]) = match model {
            Compared::FashionBert(pixels) => (pixels, &FASHION_CUTS),
            Compared::KaleidoBert(pixels) => (pixels, &KALEIDO_CUTS),
            _ => unreachable!("without a ResNet"),
        };
        let whole = cut_images(size, config.image_size, pixels, cuts) + over_features(&config, size, text, cuts, None);
        whole as f64 / 1e9
    };
    let [native, resized] = [PatchPixels::Native, PatchPixels::RESIZED];
    for (model, expected, digit) in [
        (Compared::FashionBert(native), [11.7, 18.8], 0.1),
        (Compared::FashionBert(resized), [72.3, 79.5], 0.1),
        (Compared::KaleidoBert(native), [33.7, 41.0], 0.1),
        (Compared::KaleidoBert(resized), [235.0, 242.0], 1.0),
    ] {
        for (text, expected) in [64, 144].into_iter().zip(expected) {
            let found = gmac(model, text);
            assert!((found - expected).abs() <= digit / 2.0 + 0.02, "{model}: {found} GMAC at {text} text tokens");
        }
    }
    // The image encoder as it is exported; 224 pixels a patch are as many times the same.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.onnx");
    let shallow = Config { num_hidden_layers: 1, vocab_size: 8, ..Config::base() };
    let graphs = Compared::KaleidoBert(native).graphs(&shallow, size).unwrap();
    let (_, image) = graphs.iter().find(|(part, _)| *part == Part::Image).unwrap();
    onnx::write(image, &path, &Default::default()).unwrap();
    let mut inspect = program("mbsd");
    let text = succeed(inspect.arg("inspect").arg("--file").arg(&path).args(["--sizes", "batch=1"]));
    let count = cut_images(size, config.image_size, native, &KALEIDO_CUTS);
    assert!(text.contains(&format!("multiply-adds {count}*batch\n")), "{count}: {text}");
    assert!(text.contains(&format!("at batch = 1: {:.2} GMAC", count as f64 / 1e9)), "{text}");
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
