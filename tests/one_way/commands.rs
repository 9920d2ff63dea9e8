//! `mbsd` over a bundle whose products are read apart from tags.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use mbsd_net::Head;
use mbsd_spec::{Attention, Config};
use mbsd_tests::binaries::{program, run, succeed};
use mbsd_tests::bundles::{checkpoint_of, small_config};
use mbsd_tests::engines;
use serde_json::{Value, json};

use crate::OTHERS;

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

    // A row has 40 tokens, a title what the tags' 14 places leave.
    let mut bench = program("mbsd");
    bench.args(["bench", "--quick", "--text", "27", "--engines", "tract", "--bundle"]).arg(&bundle);
    let (code, _, stderr) = run(bench.arg("--json").arg(shop.at("bench.json")));
    assert!(code == 1 && stderr.contains("no cell could be measured"), "{stderr}");
    let report = fs::read_to_string(shop.at("bench.json")).unwrap();
    assert!(report.contains("the text of this bundle's graphs has at most 26 tokens"), "{report}");

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
