//! The graphs through the engines: what Burn computes, whatever else is asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, TensorData};
use mbsd_export::{mbsd, onnx};
use mbsd_net::{Head, Mbsd};
use mbsd_runtime::engine::{Engine, Session, SessionOptions};
use mbsd_spec::{Attention, Config, NamedTensors, Tensor, Variant};
use mbsd_tests::models::{noise, odd_config};
use mbsd_tests::{engines, max_difference};

use crate::OTHERS;

/// What a graph may differ by from Burn.
const EQUAL: f32 = 1e-5;

fn config() -> Config {
    Config { attention: Attention::OneWay { title_position: 8 }, ..odd_config() }
}

fn model(config: &Config) -> Mbsd {
    let device = Device::flex();
    device.seed(3);
    Mbsd::init_with(config, Head::Match, 0.2, &device)
}

fn write(model: &Mbsd, config: &Config, variant: Variant, folder: &Path) -> PathBuf {
    let path = folder.join(format!("{variant}.onnx"));
    onnx::write(&mbsd::compile(model, config, variant).unwrap(), &path, &Default::default()).unwrap();
    path
}

/// How much is asked of how many products.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    batch: usize,
    text: usize,
    tags: usize,
    tag_text: usize,
}

/// A token in places that are not padding: each row of `width` has another length.
fn masked(shape: &[usize], seed: usize) -> [Tensor; 2] {
    let width = *shape.last().unwrap();
    let count: usize = shape.iter().product();
    let real = |cell: usize| cell % width < width - (cell / width * 5 + seed) % width.max(2) / 2;
    let ids = (0..count).map(|cell| if real(cell) { 5 + (cell as i64 * 37 + seed as i64) % 300 } else { 0 });
    let mask = (0..count).map(|cell| i64::from(real(cell)));
    [ids.collect(), mask.collect()].map(|data| Tensor::i64(shape.to_vec(), data).unwrap())
}

fn inputs(config: &Config, variant: Variant, sizes: Sizes) -> NamedTensors {
    let Sizes { batch, text, tags, tag_text } = sizes;
    let mut inputs = NamedTensors::new();
    let mut put = |names: [&str; 2], tensors: [Tensor; 2]| {
        inputs.extend(names.into_iter().map(str::to_owned).zip(tensors));
    };
    if variant != Variant::Image && variant != Variant::ImageContext {
        put(["input_ids", "attention_mask"], masked(&[batch, text], 1));
    }
    if !variant.is_context() {
        put(["tag_ids", "tag_mask"], masked(&[batch, tags, tag_text], 2));
    }
    if variant != Variant::Text && variant != Variant::TextContext {
        let side = config.image_size;
        let pixels = noise(batch * 3 * side * side, 9);
        inputs.insert("pixel_values".to_owned(), Tensor::f32([batch, 3, side, side], pixels).unwrap());
    }
    inputs
}

fn by_burn(model: &Mbsd, config: &Config, variant: Variant, inputs: &NamedTensors) -> Vec<f32> {
    let values = inputs.iter().map(|(name, tensor)| {
        let data = match tensor {
            Tensor::F32 { shape, data } => TensorData::new(data.clone(), shape.clone()),
            Tensor::I64 { shape, data } => TensorData::new(data.clone(), shape.clone()),
        };
        (name.clone(), data)
    });
    let outputs = mbsd::evaluate(model, config, variant, &values.collect::<BTreeMap<_, _>>()).unwrap();
    outputs[0].1.iter::<f32>().collect()
}

fn logits(session: &mut dyn Session, inputs: &NamedTensors) -> Vec<f32> {
    session.run(inputs).unwrap()["logits"].as_f32().unwrap().to_vec()
}

fn load(engine: &dyn Engine, path: &Path) -> Box<dyn Session> {
    engine.load(path, &SessionOptions::default()).unwrap()
}

const SIZES: [Sizes; 5] = [
    Sizes { batch: 1, text: 4, tags: 1, tag_text: 3 },
    Sizes { batch: 2, text: 17, tags: 3, tag_text: 8 },
    Sizes { batch: 3, text: 1, tags: 20, tag_text: 5 },
    Sizes { batch: 5, text: 9, tags: 7, tag_text: 4 },
    Sizes { batch: 1, text: 12, tags: 150, tag_text: 6 },
];

#[test]
fn engines_compute_what_burn_does() {
    let (config, folder) = (config(), tempfile::tempdir().unwrap());
    let model = model(&config);
    for variant in Variant::ENCODERS {
        let path = write(&model, &config, variant, folder.path());
        for engine in engines::available() {
            let mut session = load(engine.as_ref(), &path);
            for sizes in SIZES {
                let inputs = inputs(&config, variant, sizes);
                let expected = by_burn(&model, &config, variant, &inputs);
                let difference = max_difference(&expected, &logits(session.as_mut(), &inputs));
                assert!(difference <= EQUAL, "{variant} {} {sizes:?}: {difference:e}", engine.kind());
            }
        }
    }
}

#[test]
fn little_room_for_tags_or_titles_is_room() {
    let folder = tempfile::tempdir().unwrap();
    // The shortest tags there are, and titles of two tokens.
    for (title_position, sizes) in [
        (3, Sizes { batch: 2, text: 7, tags: 4, tag_text: 3 }),
        (22, Sizes { batch: 2, text: 3, tags: 4, tag_text: 9 }),
    ] {
        let config = Config { attention: Attention::OneWay { title_position }, ..odd_config() }.validated().unwrap();
        let model = model(&config);
        let path = write(&model, &config, Variant::Full, folder.path());
        let inputs = inputs(&config, Variant::Full, sizes);
        let expected = by_burn(&model, &config, Variant::Full, &inputs);
        for engine in engines::available() {
            let difference = max_difference(&expected, &logits(load(engine.as_ref(), &path).as_mut(), &inputs));
            assert!(difference <= EQUAL, "{title_position} {}: {difference:e}", engine.kind());
        }
    }
}

#[test]
fn a_context_that_was_kept_gives_the_same_answers() {
    let (config, folder) = (config(), tempfile::tempdir().unwrap());
    let model = model(&config);
    let tags = write(&model, &config, Variant::Tags, folder.path());
    let image_tokens = config.image_tokens();
    for (variant, context) in Variant::ENCODERS.into_iter().zip(Variant::PARTS) {
        let whole = write(&model, &config, variant, folder.path());
        let context_path = write(&model, &config, context, folder.path());
        for engine in engines::available() {
            let [mut whole, mut reader, mut answerer] =
                [&whole, &context_path, &tags].map(|path| load(engine.as_ref(), path));
            for sizes in SIZES {
                let all = inputs(&config, variant, sizes);
                let mut kept = reader.run(&inputs(&config, context, sizes)).unwrap();
                // The title's mask, then ones for the image.
                let seen = |row: usize| {
                    let title = all.get("attention_mask").map(|mask| &mask.as_i64().unwrap()[row * sizes.text..]);
                    let title = title.map_or(&[][..], |mask| &mask[..sizes.text]);
                    let image = if all.contains_key("pixel_values") { image_tokens } else { 0 };
                    title.iter().copied().chain(vec![1; image]).collect::<Vec<i64>>()
                };
                let mask: Vec<i64> = (0..sizes.batch).flat_map(seen).collect();
                let width = mask.len() / sizes.batch;
                kept.insert("context_mask".to_owned(), Tensor::i64([sizes.batch, width], mask).unwrap());
                kept.extend(["tag_ids", "tag_mask"].map(|name| (name.to_owned(), all[name].clone())));
                let found = logits(answerer.as_mut(), &kept);
                let difference = max_difference(&logits(whole.as_mut(), &all), &found);
                assert!(difference <= EQUAL, "{variant} {} {sizes:?}: {difference:e}", engine.kind());
            }
        }
    }
}

/// Some of the tags of every product, in the given order.
fn chosen(inputs: &NamedTensors, order: &[usize], sizes: Sizes) -> NamedTensors {
    let mut inputs = inputs.clone();
    for name in ["tag_ids", "tag_mask"] {
        let data = inputs[name].as_i64().unwrap();
        let tag = |row: usize, tag: usize| &data[(row * sizes.tags + tag) * sizes.tag_text..][..sizes.tag_text];
        let cells = (0..sizes.batch).flat_map(|row| order.iter().flat_map(move |&place| tag(row, place)));
        let chosen = Tensor::i64([sizes.batch, order.len(), sizes.tag_text], cells.copied().collect()).unwrap();
        inputs.insert(name.to_owned(), chosen);
    }
    inputs
}

#[test]
fn a_score_does_not_hang_on_what_else_is_asked() {
    let (config, folder) = (config(), tempfile::tempdir().unwrap());
    let path = write(&model(&config), &config, Variant::Full, folder.path());
    let sizes = Sizes { batch: 2, text: 11, tags: 20, tag_text: 6 };
    let inputs = inputs(&config, Variant::Full, sizes);
    for engine in engines::available() {
        let mut session = load(engine.as_ref(), &path);
        let all = logits(session.as_mut(), &inputs);
        let order: Vec<usize> = (0..20).map(|place| place * 7 % 20).collect();
        let turned = logits(session.as_mut(), &chosen(&inputs, &order, sizes));
        for (place, &tag) in order.iter().enumerate() {
            for row in 0..2 {
                let (turned, all) = (turned[row * 20 + place], all[row * 20 + tag]);
                assert_eq!(turned.to_bits(), all.to_bits(), "{}: tag {tag} in another order", engine.kind());
            }
        }
        // Beside others instead of those: equal shapes, another company.
        let company: Vec<usize> = (0..20).map(|place| if place == 4 { 4 } else { 19 - place }).collect();
        let others = logits(session.as_mut(), &chosen(&inputs, &company, sizes));
        assert_eq!([others[4], others[24]], [all[4], all[24]], "{}: beside other tags", engine.kind());
        for number in [1, 3, 9] {
            let some: Vec<usize> = (0..number).collect();
            let found = logits(session.as_mut(), &chosen(&inputs, &some, sizes));
            for row in 0..2 {
                let difference = max_difference(&found[row * number..][..number], &all[row * 20..][..number]);
                assert!(difference <= OTHERS, "{}: {number} tags instead of 20: {difference:e}", engine.kind());
            }
        }
    }
}
