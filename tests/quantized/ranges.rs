//! Static ranges: which rows they come from, what smoothing does to a graph, and TensorRT's tables.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::nn::{Linear, LinearConfig};
use burn::tensor::Device;
use mbsd_calib::graph::{OnnxGraph, Product};
use mbsd_calib::qdq::{self, Activations};
use mbsd_calib::smooth::{Alpha, smooth};
use mbsd_calib::weights::WeightBits;
use mbsd_export::{Compiler, Output, mbsd, onnx};
use mbsd_net::{Head, Mbsd};
use mbsd_runtime::engine::SessionOptions;
use mbsd_runtime::onnx::Graph;
use mbsd_spec::{NamedTensors, Task, Tensor, Variant};
use mbsd_tests::binaries::{program, succeed};
use mbsd_tests::{engines, max_difference, models, reference, tolerance};
use serde_json::Value;

use crate::fixture::{ROWS, Work};

const INPUTS: usize = 48;

/// A linear map without a bias over `[batch, text, INPUTS]`.
fn linear(path: &Path) -> (OnnxGraph, Vec<Product>) {
    let linear: Linear = LinearConfig::new(INPUTS, 40).with_bias(false).init(&Device::flex());
    let graph = Compiler::new()
        .float("x", ["batch".into(), "text".into(), INPUTS.into()])
        .compile(&linear, |linear, inputs| vec![Output::new("y", linear.forward(inputs.float::<3>("x")))])
        .unwrap();
    onnx::write(&graph, path, &Default::default()).unwrap();
    let graph = OnnxGraph::read(path).unwrap();
    let products = graph.products().unwrap();
    (graph, products)
}

/// Largest magnitude of each channel of rows of `INPUTS` values.
fn channels(x: &[f32]) -> Vec<f32> {
    (0..INPUTS).map(|channel| x.iter().skip(channel).step_by(INPUTS).fold(0f32, |m, v| m.max(v.abs()))).collect()
}

#[test]
fn smoothing_keeps_the_f32_graph_and_helps_where_channels_differ() {
    let folder = tempfile::tempdir().unwrap();
    let (graph, products) = linear(&folder.path().join("f32.onnx"));
    let input = products[0].input.clone();
    let mut x = models::noise(4 * 6 * INPUTS, 3);
    // Two channels far larger than the others, as transformers have them, and one that is never used.
    for (position, value) in x.iter_mut().enumerate() {
        *value *= [60.0, 1.0, 1.0, 0.0, 25.0, 1.0, 1.0, 1.0][(position % INPUTS).min(7)];
    }
    let found = channels(&x);
    let inputs = NamedTensors::from([("x".to_owned(), Tensor::f32([4, 6, INPUTS], x).unwrap())]);

    let mut smoothed = graph.clone();
    let observed = BTreeMap::from([(input.clone(), found.clone())]);
    let moved = smooth(&mut smoothed, &products, &observed, Alpha::new(0.5).unwrap()).unwrap();
    smoothed.write(&folder.path().join("smoothed.onnx")).unwrap();

    // A range is the largest magnitude; of a smoothed channel, what is left of it.
    let weight = graph.weight(&products[0].weight).unwrap();
    let left = |channel: usize| {
        let weight = weight.row(channel).iter().fold(0f32, |m, w| m.max(w.abs()));
        (found[channel] * weight).sqrt()
    };
    let all = found.iter().fold(0f32, |m, v| m.max(*v));
    let all_left = (0..INPUTS).map(left).fold(0f32, f32::max);
    let quantize = |mut graph: OnnxGraph, products: &[Product], range: f32, name: &str| {
        let ranges = BTreeMap::from([(products[0].input.clone(), range)]);
        qdq::quantize(&mut graph, products, &ranges, Activations::Signed, WeightBits::Eight).unwrap();
        graph.write(&folder.path().join(name)).unwrap();
    };
    quantize(graph, &products, all, "f32_qdq.onnx");
    quantize(smoothed, &moved, all_left, "smoothed_qdq.onnx");

    for engine in engines::available() {
        let run = |name: &str| {
            let mut session = engine.load(&folder.path().join(name), &SessionOptions::default()).unwrap();
            session.run(&inputs).unwrap()["y"].as_f32().unwrap().to_vec()
        };
        let mean = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f32>() / a.len() as f32;
        let f32 = run("f32.onnx");
        let largest = f32.iter().fold(0f32, |m, v| m.max(v.abs()));
        let difference = max_difference(&f32, &run("smoothed.onnx")) / largest;
        assert!(difference <= tolerance::SMOOTHED, "{}: {difference:e}", engine.kind());
        let (plain, smoothed) = (mean(&f32, &run("f32_qdq.onnx")), mean(&f32, &run("smoothed_qdq.onnx")));
        assert!(smoothed < plain / 3.0, "{}: {plain:e} without, {smoothed:e} with", engine.kind());
    }
}

#[test]
fn a_smoothed_model_answers_as_before() {
    let (folder, config) = (tempfile::tempdir().unwrap(), reference::config());
    let (model, _): (Mbsd, _) =
        mbsd_net::load(reference::weights("match"), &config, Some(Task::Match), &Device::flex()).unwrap();
    for variant in Variant::ENCODERS {
        let (path, smoothed) = (folder.path().join("f32.onnx"), folder.path().join("smoothed.onnx"));
        onnx::write(&mbsd::compile(&model, &config, variant).unwrap(), &path, &Default::default()).unwrap();
        let mut graph = OnnxGraph::read(&path).unwrap();
        let products: Vec<_> = graph.products().unwrap().into_iter().filter(|p| p.per_token).collect();
        // Whatever the maxima are, the graph computes the same.
        let observed: BTreeMap<String, Vec<f32>> = products
            .iter()
            .map(|product| {
                let width = graph.weight(&product.weight).unwrap().shape[0];
                let maxima = (0..width).map(|channel| 0.01 * 1.5f32.powi(channel as i32 % 20));
                (product.input.clone(), maxima.collect())
            })
            .collect();
        let moved = smooth(&mut graph, &products, &observed, Alpha::new(0.5).unwrap()).unwrap();
        graph.write(&smoothed).unwrap();
        let divisions = Graph::read(&smoothed).unwrap().nodes.iter().filter(|n| n.name.ends_with(".smoothed")).count();
        assert_eq!(divisions, observed.len(), "one for the products of an input");
        assert_eq!(moved.len(), products.len());
        let inputs = models::rows(&config, Task::Match, variant, 6, 11);
        for engine in engines::available() {
            let run = |path: &Path| {
                let mut session = engine.load(path, &SessionOptions::default()).unwrap();
                session.run(&inputs).unwrap()["logits"].as_f32().unwrap().to_vec()
            };
            let difference = max_difference(&run(&path), &run(&smoothed));
            assert!(difference <= tolerance::SMOOTHED, "{variant} {}: {difference:e}", engine.kind());
        }
    }
}

const TEXT: [&str; 7] = ["--force", "--max-drop", "1", "--variants", "text", "--engines", "tract"];

fn report(work: &Work, out: &str, extra: &[&str]) -> Value {
    succeed(work.calibrate("qdq", out).args(TEXT).args(extra));
    serde_json::from_slice(&fs::read(work.at(out).join("quantization/qdq.json")).unwrap()).unwrap()
}

fn largest(report: &Value) -> Vec<f64> {
    let ranges = report["artifacts"][0]["ranges"].as_array().unwrap();
    ranges.iter().map(|range| range["largest"].as_f64().unwrap()).collect()
}

#[test]
fn ranges_come_from_rows_that_are_not_compared_on() {
    let work = Work::new(Head::Match);
    let rows = |report: &Value| report["artifacts"][0]["engines"][0]["rows"].as_u64().unwrap() as usize;
    let held_out = report(&work, "held-out", &["--range-rows", "12"]);
    // Six kinds of rows, label by tag, of eight each: two of each are a quarter.
    assert_eq!(rows(&held_out), ROWS - 12);
    assert_eq!(rows(&report(&work, "half", &["--range-rows", "1000"])), ROWS / 2);
    assert_eq!(rows(&report(&work, "fewer", &["--range-rows", "12", "--samples", "18"])), 18);

    // Other products, without labels: all rows are compared on, and what is observed changes with the products.
    let lines = fs::read_to_string(work.at("rows.jsonl")).unwrap().replace("\"label\"", "\"other\"");
    fs::write(work.at("all.jsonl"), &lines).unwrap();
    fs::write(work.at("one.jsonl"), lines.lines().next().unwrap()).unwrap();
    let from = |name: &str| {
        let file = work.at(&format!("{name}.jsonl"));
        report(&work, name, &["--range-data", file.to_str().unwrap(), "--ranges", "entropy", "--smooth", "0.5"])
    };
    let (all, one) = (from("all"), from("one"));
    assert_eq!((rows(&all), rows(&one)), (ROWS, ROWS));
    assert_eq!((&all["smoothing"], &all["range_method"]), (&0.5.into(), &"entropy".into()));
    assert!(largest(&all).iter().zip(largest(&one)).any(|(all, one)| *all > one));
    let page = fs::read_to_string(work.at("all/quantization/qdq.md")).unwrap();
    assert!(page.contains("ranges by entropy of rows that are not among these, smoothed with alpha 0.5"), "{page}");
}

#[test]
fn tables_lie_beside_float_graphs() {
    let work = Work::new(Head::Match);
    let lines = fs::read_to_string(work.at("rows.jsonl")).unwrap().replace("\"label\"", "\"other\"");
    fs::write(work.at("rows.jsonl"), lines).unwrap();
    let table = |bundle: &str, out: &str| {
        let mut command = work.calibrate_bundle(&work.at(bundle), "table", out);
        succeed(command.args(["--engines", "tract", "--ranges", "min-max", "--tensorrt", "10.3.0"]));
        fs::read_to_string(work.at(out).join("text.table")).unwrap()
    };
    let text = table("bundle", "tables");
    let files: Vec<String> = fs::read_dir(work.at("tables"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files.len(), 3, "full, text, image and nothing else: {files:?}");
    let (version, ranges) = text.split_once('\n').unwrap();
    assert_eq!(version, "TRT-100300-EntropyCalibration2");
    let graph = Graph::read(&work.at("bundle/onnx/text.onnx")).unwrap();
    let written: Vec<&String> = graph.nodes.iter().flat_map(|node| &node.outputs).collect();
    let mut names = Vec::new();
    for line in ranges.lines() {
        let (name, bits) = line.split_once(": ").unwrap();
        let scale = f32::from_bits(u32::from_str_radix(bits, 16).unwrap());
        assert!(scale > 0.0 && scale < 10.0, "{line}");
        assert!(written.iter().any(|output| *output == name), "{name} is no tensor of the graph");
        names.push(name);
    }
    // What six products read, of four inputs; what they write, and that with its bias.
    assert_eq!(names.len(), 5 + 6 + 6, "{names:?}");

    // Weights in a file of their own do not matter.
    let mut export = program("mbsd");
    export.args(["export", "--shared-weights", "--task", "match", "--checkpoint"]).arg(work.at(""));
    succeed(export.arg("--out").arg(work.at("shared")));
    assert!(work.at("shared/onnx/weights.bin").exists());
    assert_eq!(table("shared", "again"), text);
}
