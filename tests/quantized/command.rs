//! `mbsd calibrate`, and the other commands over what it wrote.

use std::fs;

use mbsd_net::Head;
use mbsd_runtime::onnx::Graph;
use mbsd_spec::bundle::Artifact;
use mbsd_spec::{Bundle, Precision, Variant};
use mbsd_tests::binaries::{program, succeed};
use mbsd_tests::engines;
use serde_json::Value;

use crate::fixture::{ROWS, Work};

fn artifact(bundle: &Bundle, variant: Variant, precision: Precision) -> &Artifact {
    bundle.manifest().artifact(variant, precision).unwrap()
}

#[test]
fn a_calibrated_bundle_serves_like_any_other() {
    let work = Work::new(Head::Match);
    let json = succeed(work.calibrate("per-token", "b8").args(["--force", "--max-drop", "1", "--json"]));
    let report: Value = serde_json::from_str(&json).unwrap();
    let bundle = Bundle::open(work.at("b8")).unwrap();
    for (number, variant) in Variant::ENCODERS.into_iter().enumerate() {
        let int8 = artifact(&bundle, variant, Precision::Int8);
        assert_eq!(int8.path, format!("onnx/{variant}_int8.onnx"));
        assert!(int8.bytes < artifact(&bundle, variant, Precision::F32).bytes);
        let quantization = int8.quantization.as_ref().unwrap();
        assert_eq!((quantization.weight_bits, quantization.products), (8, 6));
        assert_eq!(quantization.kept, ["pooler.dense.matmul", "classifier.matmul"]);
        assert_eq!(quantization.measured.len(), engines::available().len());
        for (engine, measured) in &quantization.measured {
            assert_eq!((measured.measure.as_str(), measured.rows), ("roc_auc", ROWS as u64), "{engine}");
            assert!(measured.max_abs_diff > 0.0 && measured.speedup > 0.0);
        }
        assert_eq!(report["artifacts"][number]["variant"], variant.name());
    }
    let page = fs::read_to_string(work.at("b8/quantization/int8.md")).unwrap();
    assert!(page.contains("| full | tract") && page.contains("](int8.svg)"), "{page}");
    assert!(fs::read_to_string(work.at("b8/quantization/int8.svg")).unwrap().contains("<circle"));
    for file in ["json", "md", "svg"] {
        assert!(bundle.manifest().files.contains_key(&format!("quantization/int8.{file}")));
    }
    assert!(succeed(program("mbsd").args(["inspect", "--bundle"]).arg(work.at("b8"))).contains("quality"));
    let verified = succeed(program("mbsd").args(["verify", "--engines", "tract", "--bundle"]).arg(work.at("b8")));
    assert!(verified.contains("int8"), "{verified}");

    fs::write(work.at("tags.txt"), "colour:red\ncolour:blue\n").unwrap();
    for engine in engines::available() {
        let kind = engine.kind().name();
        let over = |command: &str| {
            let mut run = program("mbsd");
            run.args([command, "--precision", "int8", "--engine", kind, "--bundle"]).arg(work.at("b8"));
            run.arg("--input").arg(work.at("rows.jsonl"));
            run
        };
        let eval: Value = serde_json::from_str(&succeed(over("eval").args(["--variant", "full", "--json"]))).unwrap();
        let measured = &artifact(&bundle, Variant::Full, Precision::Int8).quantization.as_ref().unwrap().measured[kind];
        assert_eq!(eval["roc_auc"], measured.quantized, "{kind}: eval and the manifest agree");
        let out = |threads: &str| {
            let out = work.at(&format!("{kind}-{threads}.jsonl"));
            let mut tag = over("tag");
            tag.args(["--top", "2", "--threads", threads, "--tags"]).arg(work.at("tags.txt"));
            succeed(tag.arg("--output").arg(&out));
            fs::read_to_string(out).unwrap()
        };
        assert_eq!(out("1").lines().count(), ROWS);
        assert_eq!(out("1"), out("2"), "{kind}: threads change nothing");
    }
}

#[test]
fn products_read_apart_from_tags_are_quantized_too() {
    let work = Work::one_way();
    succeed(work.calibrate("per-token", "b8").args(["--force", "--max-drop", "1"]));
    fs::write(work.at("tags.txt"), "colour:red\ncolour:blue\ncolour:yellowish\n").unwrap();
    fs::write(work.at("turned.txt"), "colour:yellowish\ncolour:blue\ncolour:red\n").unwrap();
    let rows = fs::read_to_string(work.at("rows.jsonl")).unwrap();
    let half: String = rows.lines().step_by(3).map(|row| format!("{row}\n")).collect();
    fs::write(work.at("half.jsonl"), half).unwrap();
    for engine in engines::available() {
        let kind = engine.kind().name();
        let scores = |input: &str, tags: &str| {
            let out = work.at("out.jsonl");
            let mut tag = program("mbsd");
            tag.args(["tag", "--precision", "int8", "--engine", kind, "--threshold", "0", "--bundle"])
                .arg(work.at("b8"));
            tag.arg("--input").arg(work.at(input)).arg("--tags").arg(work.at(tags)).arg("--output").arg(&out);
            succeed(&mut tag);
            fs::read_to_string(out).unwrap()
        };
        let all = scores("rows.jsonl", "tags.txt");
        assert_eq!(all, scores("rows.jsonl", "turned.txt"), "{kind}: the order of tags changes nothing");
        let half: Vec<&str> = all.lines().step_by(3).collect();
        assert_eq!(half, scores("half.jsonl", "tags.txt").lines().collect::<Vec<_>>(), "{kind}: nor do other products");
    }
}

#[test]
fn products_read_apart_from_tags_have_static_ranges_and_8_bit_weights_too() {
    let work = Work::one_way();
    fs::write(work.at("tags.txt"), "colour:red\ncolour:blue\ncolour:yellowish\n").unwrap();
    let scores = |bundle: &str, precision: &str, engine: &str| -> Vec<f64> {
        let mut tag = program("mbsd");
        tag.args(["tag", "--threshold", "0", "--precision", precision, "--engine", engine, "--bundle"]);
        tag.arg(work.at(bundle)).arg("--input").arg(work.at("rows.jsonl")).arg("--tags").arg(work.at("tags.txt"));
        succeed(tag.arg("--output").arg(work.at("out.jsonl")));
        let score = |tag: &Value| (tag["tag"].as_str().unwrap().to_owned(), tag["score"].as_f64().unwrap());
        let row = |row: &str| {
            let row: Value = serde_json::from_str(row).unwrap();
            let mut tags: Vec<(String, f64)> = row["tags"].as_array().unwrap().iter().map(score).collect();
            tags.sort_by(|a, b| a.0.cmp(&b.0));
            tags.into_iter().map(|(_, score)| score).collect::<Vec<_>>()
        };
        fs::read_to_string(work.at("out.jsonl")).unwrap().lines().flat_map(row).collect()
    };
    for (method, precision, more) in [("qdq", "qdq", &["--range-rows", "24"][..]), ("weights", "w8", &[])] {
        succeed(work.calibrate(method, precision).args(["--force", "--max-drop", "1"]).args(more));
        let bundle = Bundle::open(work.at(precision)).unwrap();
        for engine in engines::available() {
            let kind = engine.kind().name();
            let measured = |variant: Variant| {
                let graph = bundle
                    .manifest()
                    .artifacts
                    .iter()
                    .find(|a| a.variant == variant && a.precision.name() == precision);
                graph.is_some_and(|graph| graph.quantization.as_ref().unwrap().measured.contains_key(kind))
            };
            // Static ranges are measured where they are meant to run.
            if !Variant::ENCODERS.into_iter().all(measured) {
                assert!(precision == "qdq" && kind != "ort-cpu", "{precision} on {kind}");
                continue;
            }
            let (exact, found) = (scores(precision, "f32", kind), scores(precision, precision, kind));
            assert_eq!((exact.len(), found.len()), (3 * ROWS, 3 * ROWS));
            let error = exact.iter().zip(&found).map(|(a, b)| (a - b).abs()).sum::<f64>() / exact.len() as f64;
            let mean = exact.iter().sum::<f64>() / exact.len() as f64;
            let spread = exact.iter().map(|score| (score - mean).abs()).sum::<f64>() / exact.len() as f64;
            assert!(error > 0.0 && error < 0.25 * spread, "{precision} on {kind}: {error} of {spread}");
        }
    }
}

/// Whatever else is in the file, and however long its titles are.
#[test]
fn a_products_scores_do_not_depend_on_the_others() {
    let work = Work::new(Head::Match);
    let both = ["--force", "--max-drop", "1", "--variants", "full,text", "--engines", "tract"];
    succeed(work.calibrate("per-token", "b8").args(both));
    fs::write(work.at("tags.txt"), "colour:red\ncolour:blue\n").unwrap();
    let rows = fs::read_to_string(work.at("rows.jsonl")).unwrap();
    let part: String = rows.lines().step_by(5).map(|row| format!("{row}\n")).collect();
    for engine in engines::available() {
        let kind = engine.kind().name();
        let tagged = |name: &str, rows: &str| -> Vec<String> {
            fs::write(work.at(&format!("{name}.jsonl")), rows).unwrap();
            let mut tag = program("mbsd");
            tag.args(["tag", "--precision", "int8", "--threshold", "0", "--engine", kind, "--bundle"]);
            tag.arg(work.at("b8")).arg("--tags").arg(work.at("tags.txt"));
            tag.arg("--input").arg(work.at(&format!("{name}.jsonl")));
            succeed(tag.arg("--output").arg(work.at("tagged.jsonl")));
            fs::read_to_string(work.at("tagged.jsonl")).unwrap().lines().map(str::to_owned).collect()
        };
        for (name, rows, part) in [
            ("full", rows.clone(), part.clone()),
            ("text", rows.replace("\"image\"", "\"other\""), part.replace("\"image\"", "\"other\"")),
        ] {
            let all: Vec<String> = tagged(name, &rows).into_iter().step_by(5).collect();
            assert_eq!(all, tagged(name, &part), "{name} {kind}");
        }
    }
}

#[test]
fn classification_and_alignment_are_calibrated_too() {
    let work = Work::new(Head::Classification { classes: 3 });
    let one = ["--force", "--max-drop", "1", "--variants", "full", "--engines", "tract"];
    succeed(work.calibrate("per-token", "b8").args(one).args(["--label-column", "class", "--samples", "20"]));
    let bundle = Bundle::open(work.at("b8")).unwrap();
    let full = artifact(&bundle, Variant::Full, Precision::Int8).quantization.as_ref().unwrap();
    let measured = &full.measured["tract"];
    assert_eq!(measured.measure, "accuracy");
    assert!((20..=22).contains(&measured.rows), "a third of the samples each: {}", measured.rows);
    assert!(bundle.manifest().artifact(Variant::Text, Precision::Int8).is_none(), "only what was asked for");

    let work = Work::new(Head::Alignment);
    let pairs: String = (0..20).map(|i| format!("p{i},p{},{}\n", i + 7, i % 2)).collect();
    fs::write(work.at("pairs.csv"), format!("source,target,label\n{pairs}")).unwrap();
    succeed(work.calibrate("per-token", "b8").args(one).arg("--pairs").arg(work.at("pairs.csv")));
    let bundle = Bundle::open(work.at("b8")).unwrap();
    assert_eq!(artifact(&bundle, Variant::Pair, Precision::Int8).path, "onnx/pair.onnx");
    let mut align = program("mbsd");
    align.args(["align", "--precision", "int8", "--bundle"]).arg(work.at("b8"));
    align.arg("--input").arg(work.at("rows.jsonl")).arg("--pairs").arg(work.at("pairs.csv"));
    succeed(align.arg("--output").arg(work.at("aligned.jsonl")));
    assert_eq!(fs::read_to_string(work.at("aligned.jsonl")).unwrap().lines().count(), 20);
}

#[test]
fn methods_lie_side_by_side() {
    let work = Work::new(Head::Match);
    let text = ["--force", "--max-drop", "1", "--variants", "text", "--engines", "tract"];
    succeed(work.calibrate("weights", "w8").args(text));
    succeed(work.calibrate_bundle(&work.at("w8"), "qdq", "both").args(text).arg("--sensitivity"));
    let bundle = Bundle::open(work.at("both")).unwrap();
    let f32 = artifact(&bundle, Variant::Text, Precision::F32);
    for precision in [Precision::W8, Precision::Qdq] {
        assert!(artifact(&bundle, Variant::Text, precision).bytes < f32.bytes, "{precision}");
    }
    let report: Value = serde_json::from_slice(&fs::read(work.at("both/quantization/qdq.json")).unwrap()).unwrap();
    let text = &report["artifacts"][0];
    assert_eq!((report["range_method"].as_str(), text["ranges"].as_array().unwrap().len()), (Some("mse"), 5));
    for precision in ["w8", "qdq"] {
        let mut eval = program("mbsd");
        eval.args(["eval", "--precision", precision, "--variant", "text", "--bundle"]).arg(work.at("both"));
        assert!(succeed(eval.arg("--input").arg(work.at("rows.jsonl"))).contains("ROC-AUC"), "{precision}");
    }
    let costs: Vec<f64> =
        text["sensitivity"].as_array().unwrap().iter().map(|one| one["mean_abs_diff"].as_f64().unwrap()).collect();
    assert_eq!(costs.len(), 6);
    assert!(costs.is_sorted_by(|a, b| a >= b) && costs[0] > 0.0, "{costs:?}");
}

#[test]
fn static_ranges_are_signed_unless_asked_otherwise() {
    let work = Work::new(Head::Match);
    let text = ["--force", "--max-drop", "1", "--variants", "text", "--engines", "tract"];
    for (out, extra, dtype) in
        [("signed", &[][..], "int8"), ("unsigned", &["--unsigned", "--ranges", "min-max"], "uint8")]
    {
        succeed(work.calibrate("qdq", out).args(text).args(extra));
        let graph = Graph::read(&work.at(out).join("onnx/text_qdq.onnx")).unwrap();
        let zero = graph.initializers.iter().find(|one| one.name == "int8.zero").unwrap();
        assert_eq!(zero.dtype, dtype);
    }
}

#[test]
fn products_that_are_asked_to_stay_do() {
    let work = Work::new(Head::Match);
    let one = ["--force", "--max-drop", "1", "--variants", "text", "--engines", "tract", "--weight-bits", "7"];
    succeed(work.calibrate("per-token", "b8").args(one).args(["--keep", "attention.value"]));
    let bundle = Bundle::open(work.at("b8")).unwrap();
    let quantization = artifact(&bundle, Variant::Text, Precision::Int8).quantization.as_ref().unwrap();
    assert_eq!((quantization.products, quantization.weight_bits), (5, 7));
    assert_eq!(quantization.kept[0], "encoder.layer.0.attention.value.matmul");
}
