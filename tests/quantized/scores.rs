//! Scores of whole models: close to f32, a row's own, the same twice.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use mbsd_calib::graph::OnnxGraph;
use mbsd_calib::weights::WeightBits;
use mbsd_calib::{per_token, weights_only};
use mbsd_export::{mbsd, onnx};
use mbsd_net::Mbsd;
use mbsd_runtime::engine::{Engine, Session, SessionOptions};
use mbsd_spec::{Config, NamedTensors, Task, Tensor, Variant};
use mbsd_tests::{engines, max_difference, models, reference, tolerance};

/// The graphs of the reference's match model, f32 and 8-bit, in a folder.
struct Graphs {
    folder: tempfile::TempDir,
    config: Config,
}

impl Graphs {
    fn new() -> Self {
        let (folder, config) = (tempfile::tempdir().unwrap(), reference::config());
        let (model, _): (Mbsd, _) =
            mbsd_net::load(reference::weights("match"), &config, Some(Task::Match), &Device::flex()).unwrap();
        for variant in Variant::ENCODERS {
            let path = folder.path().join(format!("{variant}.onnx"));
            onnx::write(&mbsd::compile(&model, &config, variant).unwrap(), &path, &Default::default()).unwrap();
            let graph = OnnxGraph::read(&path).unwrap();
            let products: Vec<_> = graph.products().unwrap().into_iter().filter(|p| p.per_token).collect();
            let (mut int8, mut w8) = (graph.clone(), graph);
            per_token::quantize(&mut int8, &products, WeightBits::Eight).unwrap();
            int8.write(&folder.path().join(format!("{variant}_int8.onnx"))).unwrap();
            weights_only::quantize(&mut w8, &products, WeightBits::Eight).unwrap();
            w8.write(&folder.path().join(format!("{variant}_w8.onnx"))).unwrap();
        }
        Self { folder, config }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.onnx"))
    }

    fn rows(&self, variant: Variant, batch: usize, text: usize) -> NamedTensors {
        models::rows(&self.config, Task::Match, variant, batch, text)
    }
}

fn load(engine: &dyn Engine, path: &Path) -> Box<dyn Session> {
    engine.load(path, &SessionOptions::default()).unwrap()
}

fn logits(session: &mut dyn Session, inputs: &NamedTensors) -> Vec<f32> {
    session.run(inputs).unwrap()["logits"].as_f32().unwrap().to_vec()
}

/// Rows `from..to` of a batch.
fn part(inputs: &NamedTensors, from: usize, to: usize) -> NamedTensors {
    let cut = |tensor: &Tensor| {
        let mut shape = tensor.shape().to_vec();
        let width: usize = shape[1..].iter().product();
        shape[0] = to - from;
        match tensor {
            Tensor::F32 { data, .. } => Tensor::f32(shape, data[from * width..to * width].to_vec()),
            Tensor::I64 { data, .. } => Tensor::i64(shape, data[from * width..to * width].to_vec()),
        }
        .unwrap()
    };
    inputs.iter().map(|(name, tensor)| (name.clone(), cut(tensor))).collect()
}

#[test]
fn every_variant_answers_like_f32() {
    let graphs = Graphs::new();
    for engine in engines::available() {
        for variant in Variant::ENCODERS {
            let inputs = graphs.rows(variant, 6, 11);
            let run = |name: &str| logits(load(engine.as_ref(), &graphs.path(name)).as_mut(), &inputs);
            let f32 = run(&variant.to_string());
            for (suffix, allowed) in [("int8", tolerance::INT8), ("w8", tolerance::W8)] {
                let difference = max_difference(&f32, &run(&format!("{variant}_{suffix}")));
                let what = format!("{variant} {suffix} {}", engine.kind());
                assert!(difference > 0.0 && difference <= allowed, "{what}: {difference:e}");
            }
        }
    }
}

#[test]
fn batch_mates_and_batch_size_change_no_score() {
    let graphs = Graphs::new();
    for engine in engines::available() {
        for variant in Variant::ENCODERS {
            let mut session = load(engine.as_ref(), &graphs.path(&format!("{variant}_int8")));
            let inputs = graphs.rows(variant, 8, 14);
            let all = logits(session.as_mut(), &inputs);
            assert_eq!(all, logits(session.as_mut(), &inputs), "the same twice");
            let again = logits(load(engine.as_ref(), &graphs.path(&format!("{variant}_int8"))).as_mut(), &inputs);
            assert_eq!(all, again, "the same in another session");
            for size in [1, 2, 3, 5] {
                let parts: Vec<f32> = (0..8)
                    .step_by(size)
                    .flat_map(|from| logits(session.as_mut(), &part(&inputs, from, (from + size).min(8))))
                    .collect();
                assert_eq!(all, parts, "{variant} in batches of {size}, {}", engine.kind());
            }
        }
    }
}

/// The same graph gives the same bytes.
#[test]
fn a_graph_is_quantized_the_same_twice() {
    let (first, second) = (Graphs::new(), Graphs::new());
    for name in ["full_int8", "image_w8"] {
        assert!(std::fs::read(first.path(name)).unwrap() == std::fs::read(second.path(name)).unwrap(), "{name}");
    }
}
