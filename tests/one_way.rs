//! One-way attention through the engines: what Burn computes, whatever else is asked; and the commands over such a bundle.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, TensorData};
use mbsd_export::{mbsd, onnx};
use mbsd_net::{Head, Mbsd};
use mbsd_runtime::engine::{Engine, Session, SessionOptions};
use mbsd_spec::{Attention, Config, NamedTensors, Tensor, Variant};
use mbsd_tests::binaries::{program, run, succeed};
use mbsd_tests::bundles::{checkpoint_of, small_config};
use mbsd_tests::models::{noise, odd_config};
use mbsd_tests::{engines, max_difference};
use serde_json::{Value, json};

/// What a graph may differ by from Burn, and a score with what else is asked.
const EQUAL: f32 = 1e-5;
const OTHERS: f32 = 1e-6;

fn config() -> Config {
    Config { attention: Attention::OneWay { title_position: 8 }, ..odd_config() }
}

fn model(config: &Config) -> Mbsd {
    let device = Device::flex();
    device.seed(3);
    Mbsd::init_with(config, Head::Match, 0.2, &device)
}

fn write(model: &Mbsd, config: &Config, variant: Variant, folder: &Path) -> std::path::PathBuf {
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

/// A bundle exported by the program, and products of every kind beside it.
struct Shop(tempfile::TempDir);

const PRODUCTS: usize = 40;

impl Shop {
    fn new() -> Self {
        let shop = Self(tempfile::tempdir().unwrap());
        let config = Config { attention: Attention::OneWay { title_position: 14 }, ..small_config() };
        checkpoint_of(&config, Head::Match, 10.0, shop.0.path());
        let mut export = program("mbsd-export");
        export.args(["--variants", "full,text,image,full_context,tags", "--precision", "f32,f16", "--checkpoint"]);
        succeed(export.arg(shop.0.path()).arg("--out").arg(shop.at("bundle")));
        let words = ["red", "blue", "dress", "shirt", "long", "wool"];
        let mut rows = String::new();
        for row in 0..PRODUCTS {
            let title: Vec<&str> = (0..1 + row % 4).map(|word| words[(row * 3 + word * 5) % words.len()]).collect();
            let picture =
                image::RgbImage::from_fn(32, 32, |x, y| image::Rgb([(row as u32 * 37 + x * 5 + y * 3) as u8; 3]));
            picture.save(shop.at(&format!("{row}.png"))).unwrap();
            let mut product = json!({"id": format!("p{row}"), "kind": (if row % 2 == 0 { "top" } else { "shoe" }), "tag": "wool", "label": row % 2});
            if row % 5 != 4 {
                product["title"] = title.join(" ").into();
            }
            if row % 5 != 3 {
                product["image"] = format!("{row}.png").into();
            }
            rows += &format!("{product}\n");
        }
        shop.write("products.jsonl", &rows);
        shop
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).unwrap();
    }

    fn tag(&self, tags: &str, extra: &[&str]) -> std::process::Command {
        let mut tag = program("mbsd");
        tag.args(["tag", "--threshold", "0", "--bundle"])
            .arg(self.at("bundle"))
            .arg("--input")
            .arg(self.at("products.jsonl"));
        tag.arg("--tags").arg(self.at(tags)).arg("--output").arg(self.at("out.jsonl")).args(extra);
        tag
    }

    /// The scores of every product, by tag.
    fn scores(&self, tags: &str, extra: &[&str]) -> Vec<BTreeMap<String, f32>> {
        succeed(&mut self.tag(tags, extra));
        let rows = fs::read_to_string(self.at("out.jsonl")).unwrap();
        let score = |tag: &Value| (tag["tag"].as_str().unwrap().to_owned(), tag["score"].as_f64().unwrap() as f32);
        let row = |row: &str| {
            let row: Value = serde_json::from_str(row).unwrap();
            row["tags"].as_array().into_iter().flatten().map(score).collect()
        };
        rows.lines().map(row).collect()
    }
}

fn assert_same(what: &str, some: &[BTreeMap<String, f32>], all: &[BTreeMap<String, f32>]) {
    assert_eq!(some.len(), PRODUCTS);
    for (product, (some, all)) in some.iter().zip(all).enumerate() {
        for (tag, score) in some {
            let difference = (score - all[tag]).abs();
            assert!(difference <= OTHERS, "{what}: `{tag}` of product {product} differs by {difference:e}");
        }
    }
}

#[test]
fn a_catalogue_is_tagged_with_each_product_read_once() {
    let shop = Shop::new();
    let tags = ["red", "blue", "wool", "colour:red", "long sleeve", "a", "shirt", "red dress"];
    shop.write("tags.txt", &tags.join("\n"));
    shop.write("turned.txt", &tags.iter().rev().copied().collect::<Vec<_>>().join("\n"));
    shop.write("one.txt", "long sleeve\n");
    let lists = json!({"by": "kind", "tags": {"top": ["red dress", "blue"]}, "default": ["shirt", "a", "colour:red"]});
    shop.write("lists.json", &lists.to_string());
    // More tags than a batch has room for.
    let many: Vec<String> = (0..300).map(|number| format!("{} {number}", tags[number % 3])).collect();
    shop.write("many.txt", &many.join("\n"));
    shop.write("some.txt", &[&many[7], &many[299], &many[100]].map(String::as_str).join("\n"));
    for engine in engines::available() {
        let engine = ["--engine", engine.kind().name()];
        let all = shop.scores("tags.txt", &engine);
        assert!(all.iter().all(|product| product.len() == tags.len()), "every product is asked everything");
        let spread = |tag: &str| {
            let scores = || all.iter().map(|product| product[tag]);
            scores().fold(0f32, f32::max) - scores().fold(1f32, f32::min)
        };
        assert!(tags.iter().all(|tag| spread(tag) > 0.01), "products differ");
        assert_same("turned", &shop.scores("turned.txt", &engine), &all);
        assert_same("alone", &shop.scores("one.txt", &engine), &all);
        let by_kind = shop.scores("lists.json", &engine);
        assert_same("by kind", &by_kind, &all);
        assert_eq!((by_kind[0].len(), by_kind[1].len()), (2, 3));
        assert_same("some of many", &shop.scores("some.txt", &engine), &shop.scores("many.txt", &engine));
    }
}

#[test]
fn the_other_commands_take_such_a_bundle() {
    let shop = Shop::new();
    let bundle = shop.at("bundle");
    let inspected = succeed(program("mbsd").args(["inspect", "--bundle"]).arg(&bundle));
    assert!(inspected.contains("attention one-way: a product is read once for all of its tags"), "{inspected}");
    assert!(inspected.contains("tag_ids int64 [batch, tags, tag_text]"), "{inspected}");
    let verified = succeed(program("mbsd").args(["verify", "--engines", "tract", "--bundle"]).arg(&bundle));
    assert!(verified.contains("full_context"), "{verified}");
    let mut eval = program("mbsd");
    eval.args(["eval", "--engine", "tract", "--json", "--bundle"])
        .arg(&bundle)
        .arg("--input")
        .arg(shop.at("products.jsonl"));
    let eval: Value = serde_json::from_str(&succeed(&mut eval)).unwrap();
    assert_eq!(eval["scored"], PRODUCTS, "{eval}");

    shop.write("long.txt", "a b c d e f g h i j k l m\n");
    let (code, _, stderr) = run(&mut shop.tag("long.txt", &["--engine", "tract"]));
    assert_eq!(code, 1);
    assert!(stderr.contains("takes 15 tokens with its special tokens, the limit is 14"), "{stderr}");
    for layout in ["hf", "triton"] {
        let mut export = program("mbsd-export");
        export.args(["--layout", layout, "--bundle"]).arg(&bundle).arg("--out").arg(shop.at(layout));
        let (code, _, stderr) = run(&mut export);
        assert!(code == 1 && stderr.contains("one-way attention"), "{stderr}");
    }
    let full = small_config();
    checkpoint_of(&full, Head::Match, 10.0, &shop.at("."));
    let mut export = program("mbsd-export");
    export.args(["--variants", "tags", "--checkpoint"]).arg(shop.0.path()).arg("--out").arg(shop.at("refused"));
    let (code, _, stderr) = run(&mut export);
    assert!(code == 1 && stderr.contains("the tags graph belongs to match models with one-way attention"), "{stderr}");
}
