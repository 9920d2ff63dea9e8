//! What is not quantized, and what is said.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use mbsd_net::Head;
use mbsd_spec::{Bundle, Precision, Tensor, Variant};
use mbsd_tests::binaries::{program, run, succeed};
use mbsd_tests::bundles::vocabulary;
use serde_json::Value;

use crate::fixture::{Work, fill};

/// Fails with exit code 1 and a message that says all of `says`, and writes nothing.
fn refuses(work: &Work, command: &mut Command, says: &[&str]) {
    let (code, _, stderr) = run(command);
    assert_eq!(code, 1, "{command:?}: {stderr}");
    let error = stderr.split_once("error: ").map(|(_, error)| error).unwrap_or_default();
    for part in says {
        assert!(error.contains(part), "`{part}` is not in: {stderr}");
    }
    assert!(!work.at("out").exists());
}

const TEXT: [&str; 4] = ["--variants", "text", "--engines", "tract"];

#[test]
fn rows_that_cannot_be_compared_on() {
    let work = Work::new(Head::Match);
    let with = |rows: &str| fs::write(work.at("rows.jsonl"), rows).unwrap();
    let calibrate = || {
        let mut command = work.calibrate("per-token", "out");
        command.args(TEXT);
        command
    };
    with("{\"id\": \"a\", \"title\": \"red\", \"tag\": \"x\"}\n");
    refuses(&work, &mut calibrate(), &["`label`"]);
    with("{\"id\": \"a\", \"title\": \"red\", \"tag\": \"x\", \"label\": \"maybe\"}\n");
    refuses(&work, &mut calibrate(), &["no rows to calibrate with", "1 x invalid_label", "give other data"]);
    with("{\"id\": \"a\", \"title\": \"red\", \"tag\": \"x\", \"label\": 1}\n");
    refuses(&work, &mut calibrate(), &["no rows to calibrate with", "all labels are the same"]);
    refuses(&work, calibrate().args(["--pairs", "pairs.csv"]), &["--pairs is for alignment bundles"]);
    with("{\"id\": \"a\", \"title\": null, \"image\": \"images/0.png\", \"tag\": \"x\", \"label\": 1}\n");
    refuses(&work, &mut calibrate(), &["the text graph", "missing_modality"]);
    let work = Work::new(Head::Alignment);
    refuses(&work, work.calibrate("per-token", "out").args(TEXT), &["--pairs"]);
}

#[test]
fn what_costs_most_goes_back_to_f32() {
    // Weights of a few outliers and a crowd of small values keep little in 8 bits.
    let work = Work::with_weights(Head::Match, |weights| {
        for (name, tensor) in weights.iter_mut() {
            if let (true, Tensor::F32 { data, .. }) = (name.contains("encoder"), tensor) {
                data.iter_mut().step_by(97).for_each(|value| *value *= 80.0);
            }
        }
    });
    // Labels that f32 answers without a mistake.
    label_by_f32(&work);
    let calibrate = |out: &str, drop: &str| {
        let mut command = work.calibrate("per-token", out);
        succeed(command.args(TEXT).args(["--force", "--max-drop", drop]));
        let bundle = Bundle::open(work.at(out)).unwrap();
        bundle.manifest().artifact(Variant::Text, Precision::Int8).unwrap().quantization.clone().unwrap()
    };
    let (loose, strict) = (calibrate("loose", "1"), calibrate("strict", "0"));
    assert_eq!((loose.products, strict.products < 6), (6, true));
    let (loose, strict) = (&loose.measured["tract"], &strict.measured["tract"]);
    assert_eq!(strict.f32, 1.0);
    assert!(loose.quantized < 1.0 && loose.quantized <= strict.quantized, "{loose:?} {strict:?}");
    let page = fs::read_to_string(work.at("strict/quantization/int8.md")).unwrap();
    assert!(page.contains("| product alone in 8 bits |"), "{page}");
}

/// Rewrites the labels of the rows to what the f32 text graph says of them, half of them 1.
fn label_by_f32(work: &Work) {
    let text = fs::read_to_string(work.at("rows.jsonl")).unwrap();
    let mut rows: Vec<Value> = text.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    rows.iter_mut().for_each(|row| row["image"] = Value::Null);
    let write = |rows: &[Value]| {
        let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
        fs::write(work.at("rows.jsonl"), lines).unwrap();
    };
    write(&rows);
    let tags: BTreeSet<&str> = rows.iter().filter_map(|row| row["tag"].as_str()).collect();
    fs::write(work.at("tags.txt"), tags.into_iter().collect::<Vec<_>>().join("\n")).unwrap();
    let mut tag = program("mbsd");
    tag.args(["tag", "--threshold", "0", "--bundle"]).arg(work.at("bundle"));
    tag.arg("--input").arg(work.at("rows.jsonl")).arg("--tags").arg(work.at("tags.txt"));
    succeed(tag.arg("--output").arg(work.at("tagged.jsonl")));
    let tagged = fs::read_to_string(work.at("tagged.jsonl")).unwrap();
    let scores: Vec<f64> = tagged
        .lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).unwrap();
            let tags = row["tags"].as_array().unwrap();
            let own = tags.iter().find(|one| one["tag"] == row["tag"]).unwrap();
            own["score"].as_f64().unwrap()
        })
        .collect();
    let mut sorted = scores.clone();
    sorted.sort_by(f64::total_cmp);
    for (row, score) in rows.iter_mut().zip(scores) {
        row["label"] = u8::from(score >= sorted[sorted.len() / 2]).into();
    }
    write(&rows);
}

#[test]
fn weights_and_activations_without_a_range() {
    let work = Work::with_weights(Head::Match, |weights| fill(weights, "attention.self.key.weight", f32::NAN));
    let says = ["weight `encoder.layer.0.attention.key.weight` holds NaN", "export the model again"];
    refuses(&work, work.calibrate("weights", "out").args(TEXT), &says);
    let work = Work::with_weights(Head::Match, |weights| fill(weights, "classifier.bias", f32::NAN));
    refuses(&work, work.calibrate("per-token", "out").args(TEXT), &["no rows to calibrate with", "48 x not_finite"]);

    let work = Work::with_weights(Head::Match, |weights| fill(weights, "attention.self.value", 0.0));
    let says = ["activation `", "was 0 in every row", "quantize per token"];
    refuses(&work, work.calibrate("qdq", "out").args(TEXT), &says);
    succeed(work.calibrate("per-token", "b8").args(TEXT).args(["--force", "--max-drop", "1"]));
}

#[test]
fn ranges_that_cannot_be_observed() {
    let work = Work::new(Head::Match);
    let qdq = |work: &Work, file: &str, rows: &str| {
        fs::write(work.at(file), rows).unwrap();
        let mut command = work.calibrate("qdq", "out");
        command.args(TEXT).arg("--range-data").arg(work.at(file));
        command
    };
    let no_title = "{\"id\": \"a\", \"title\": null, \"image\": \"images/0.png\", \"tag\": \"x\"}\n";
    let says = ["no rows to calibrate with", "the text graph can be observed on", "missing_modality"];
    refuses(&work, &mut qdq(&work, "other.jsonl", no_title), &says);
    refuses(&work, &mut qdq(&work, "other.csv", "id,title,tag\n"), &["no rows to calibrate with", "other.csv"]);
    refuses(&work, &mut qdq(&work, "other.csv", "id,title\na,red\n"), &["`tag`"]);
    let few: String = fs::read_to_string(work.at("rows.jsonl")).unwrap().lines().take(2).collect::<Vec<_>>().join("\n");
    fs::write(work.at("rows.jsonl"), few).unwrap();
    refuses(&work, work.calibrate("qdq", "out").args(TEXT), &["no rows to calibrate with", "--range-data"]);

    // A token whose vector is no number, in some of the rows: how `wool` starts.
    let token = vocabulary().iter().position(|token| token == "w").unwrap();
    let work = Work::with_weights(Head::Match, |weights| {
        let words = weights.iter_mut().find(|(name, _)| name.contains("word_embeddings")).unwrap().1;
        let width = words.shape()[1];
        if let Tensor::F32 { data, .. } = words {
            data[token * width..(token + 1) * width].fill(f32::NAN);
        }
    });
    let rows = fs::read_to_string(work.at("rows.jsonl")).unwrap();
    let says = ["activation `", " values that are no finite numbers", "the model or the data"];
    refuses(&work, &mut qdq(&work, "all.jsonl", &rows), &says);
    refuses(&work, qdq(&work, "all.jsonl", &rows).args(["--smooth", "0.5"]), &says);
}

/// Refused for what it loses, whatever the machine's speed.
#[test]
fn a_graph_that_loses_too_much() {
    // Where a column of weights has one huge value, nothing else of it is left in 8 bits.
    let work = Work::with_weights(Head::Match, |weights| {
        for (name, tensor) in weights.iter_mut() {
            if let (true, Tensor::F32 { data, .. }) = (name.contains("encoder"), tensor) {
                data.iter_mut().step_by(97).for_each(|value| *value *= 2000.0);
            }
        }
    });
    label_by_f32(&work);
    let says = ["refused: the text graph on tract loses ", " of ROC-AUC (1.0000 to 0.", "more than 0.001", "--force"];
    refuses(&work, work.calibrate("per-token", "out").args(TEXT).args(["--max-drop", "0.001"]), &says);
}

#[test]
fn a_bundle_that_is_quantized_already() {
    let work = Work::new(Head::Match);
    succeed(work.calibrate("per-token", "b8").args(TEXT).args(["--force", "--max-drop", "1"]));
    let again = |bundle: &str| {
        let mut command = work.calibrate_bundle(&work.at(bundle), "per-token", "out");
        command.args(TEXT);
        command
    };
    refuses(&work, &mut again("b8"), &["has int8 graphs already"]);

    // A bundle whose f32 graph is an 8-bit one under another name.
    let manifest = work.at("b8/manifest.json");
    let mut value: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    let artifacts = value["artifacts"].as_array_mut().unwrap();
    artifacts.retain(|artifact| artifact["precision"] == "int8");
    artifacts[0]["precision"] = "f32".into();
    fs::write(&manifest, value.to_string()).unwrap();
    let says = ["the text graph is quantized already", "is a QuantizeLinear", "mbsd export"];
    refuses(&work, &mut again("b8"), &says);
    let mut table = work.calibrate_bundle(&work.at("b8"), "table", "tables");
    refuses(&work, table.args(TEXT), &says);
}

#[test]
fn settings_that_do_not_fit() {
    let work = Work::new(Head::Match);
    let mut pair = work.calibrate("per-token", "out");
    refuses(&work, pair.args(["--variants", "pair"]), &["the pair head stays in f32"]);
    let mut all = work.calibrate("per-token", "out");
    refuses(&work, all.args(TEXT).args(["--keep", "encoder"]), &["no products to compute in 8 bits"]);
    let mut absent = work.calibrate("per-token", "out");
    let absent = absent.args(["--engines", "ort-cpu", "--onnxruntime", "no-such-library.so"]);
    refuses(&work, absent, &["engine `ort-cpu` is not available", "no-such-library.so"]);
    let static_alone = ["--smooth is for static ranges", "--method qdq"];
    refuses(&work, work.calibrate("per-token", "out").args(["--smooth", "0.5"]), &static_alone);
    refuses(&work, work.calibrate("weights", "out").args(["--unsigned"]), &["--unsigned is for static ranges"]);
    refuses(&work, work.calibrate("table", "out").args(["--keep", "pooler"]), &["--keep changes or compares graphs"]);
    let mut eval = program("mbsd");
    eval.args(["eval", "--calibration-tables", "tables", "--bundle"]).arg(work.at("bundle"));
    refuses(&work, eval.arg("--input").arg(work.at("rows.jsonl")), &["is for --engine ort-tensorrt; tract"]);
    let pairs = Work::new(Head::Alignment);
    let mut alignment = pairs.calibrate("qdq", "out");
    refuses(&pairs, alignment.args(["--pairs", "pairs.csv"]), &["cannot be held out", "--range-data"]);
    assert_eq!(run(work.calibrate("qdq", "out").args(["--smooth", "1.5"])).0, 2);
    assert_eq!(run(work.calibrate("table", "out").args(["--tensorrt", "ten"])).0, 2);
    assert_eq!(run(work.calibrate("per-token", "out").args(["--max-drop", "2"])).0, 2);
    assert_eq!(run(work.calibrate("per-token", "out").args(["--weight-bits", "6"])).0, 2);
}
