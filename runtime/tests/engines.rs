//! Every engine over tiny graphs: results, checks, and files that are no graphs.

mod common;

use std::fs;
use std::num::NonZeroUsize;
use std::sync::Arc;

use common::{bundle, linear, node, onnxruntime, select};
use mbsd_runtime::engine::{self, Engine, EngineError, EngineKind, EngineOptions, Session, SessionOptions};
use mbsd_runtime::onnx::Graph;
use mbsd_spec::bundle::DimSpec;
use mbsd_spec::{NamedTensors, Tensor};
use tempfile::TempDir;
use tract_onnx::pb;

/// tract, and ONNX Runtime where there is one.
fn engines(test: &str) -> Vec<Arc<dyn Engine>> {
    let mut kinds = vec![EngineKind::Tract];
    if onnxruntime(test) {
        kinds.push(EngineKind::OrtCpu);
    }
    kinds.into_iter().map(|kind| engine::open(kind, &EngineOptions::default()).unwrap()).collect()
}

fn load(engine: &dyn Engine, bytes: &[u8]) -> Result<Box<dyn Session>, EngineError> {
    load_with(engine, bytes, &SessionOptions::default())
}

fn load_with(engine: &dyn Engine, bytes: &[u8], options: &SessionOptions) -> Result<Box<dyn Session>, EngineError> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("graph.onnx");
    fs::write(&path, bytes).unwrap();
    engine.load(&path, options)
}

fn features(rows: usize) -> NamedTensors {
    let data = (0..rows * 3).map(|i| i as f32 / 4.0).collect();
    NamedTensors::from([("features".to_owned(), Tensor::f32([rows, 3], data).unwrap())])
}

#[test]
fn a_symbolic_batch_takes_any_number_of_rows() {
    let engines = engines("a_symbolic_batch_takes_any_number_of_rows");
    for (engine, threads) in engines.iter().flat_map(|engine| [1, 2, 3].map(|threads| (engine, threads))) {
        let options = SessionOptions { threads: NonZeroUsize::new(threads), ..SessionOptions::default() };
        let mut session = load_with(&**engine, &linear(), &options).unwrap();
        for rows in [1, 2, 33, 2, 7] {
            let outputs = session.run(&features(rows)).unwrap();
            let logits = outputs["logits"].as_f32().unwrap();
            assert_eq!(outputs["logits"].shape(), [rows, 2]);
            for row in 0..rows {
                let [a, b, c] = [0, 1, 2].map(|i| (row * 3 + i) as f32 / 4.0);
                assert_eq!(logits[2 * row], a + 3.0 * b + 5.0 * c + 0.5, "{} row {row}", engine.kind());
                assert_eq!(logits[2 * row + 1], 2.0 * a + 4.0 * b + 6.0 * c - 0.5);
            }
        }
    }
}

#[test]
fn the_graph_tells_its_inputs_and_outputs() {
    for engine in engines("the_graph_tells_its_inputs_and_outputs") {
        let session = load(&*engine, &select()).unwrap();
        let names: Vec<_> = session.inputs().iter().map(|spec| (spec.name.as_str(), spec.dtype.as_str())).collect();
        assert_eq!(names, [("input_ids", "int64"), ("attention_mask", "bool"), ("token_type_ids", "int64")]);
        let rows = ["batch", "text"].map(|symbol| DimSpec::Symbol(symbol.to_owned()));
        assert!(session.inputs().iter().chain(session.outputs()).all(|spec| spec.shape == rows));
        assert_eq!(session.outputs()[0].name, "kept");
    }
}

#[test]
fn bools_and_integers_go_in_and_come_out() {
    let tensor = |data: [i64; 4]| Tensor::i64([2, 2], data.to_vec()).unwrap();
    let inputs = NamedTensors::from([
        ("input_ids".to_owned(), tensor([1, 2, 3, i64::MAX])),
        ("attention_mask".to_owned(), tensor([1, 0, 0, 1])),
        ("token_type_ids".to_owned(), tensor([-1, -2, -3, -4])),
    ]);
    for engine in engines("bools_and_integers_go_in_and_come_out") {
        let outputs = load(&*engine, &select()).unwrap().run(&inputs).unwrap();
        assert_eq!(outputs["kept"], tensor([1, -2, -3, i64::MAX]), "{}", engine.kind());
    }
}

#[test]
fn inputs_that_do_not_fit_are_refused_alike_by_every_engine() {
    let rows = |data: &[i64], rows: usize| Tensor::i64([rows, data.len() / rows], data.to_vec()).unwrap();
    let good = NamedTensors::from([
        ("input_ids".to_owned(), rows(&[1, 2, 3, 4], 2)),
        ("attention_mask".to_owned(), rows(&[1, 1, 1, 1], 2)),
        ("token_type_ids".to_owned(), rows(&[0, 0, 0, 0], 2)),
    ]);
    let with = |name: &str, tensor: Option<Tensor>| {
        let mut inputs = good.clone();
        match tensor {
            Some(tensor) => inputs.insert(name.to_owned(), tensor),
            None => inputs.remove(name),
        };
        inputs
    };
    let cases = [
        (with("input_ids", None), "input `input_ids` is missing"),
        (with("ids", Some(rows(&[1, 2], 1))), "the graph has no input `ids`"),
        (with("input_ids", Tensor::f32([2, 2], vec![0.0; 4]).ok()), "input `input_ids` is float32, not int64"),
        (with("input_ids", Tensor::i64([4], vec![0; 4]).ok()), "input `input_ids` has shape [4], not [batch, text]"),
        (
            with("attention_mask", Some(rows(&[1, 1, 1, 1, 1, 1], 2))),
            "input `attention_mask` has text = 3, but `input_ids` has text = 2",
        ),
        (
            with("attention_mask", Some(rows(&[1, 1, 1, 5], 2))),
            "input `attention_mask` holds 5, which does not fit bool",
        ),
        (
            with("attention_mask", Some(rows(&[1, 1], 1))),
            "input `attention_mask` has batch = 1, but `input_ids` has batch = 2",
        ),
    ];
    for engine in engines("inputs_that_do_not_fit_are_refused_alike_by_every_engine") {
        let mut session = load(&*engine, &select()).unwrap();
        for (inputs, message) in &cases {
            let error = session.run(inputs).unwrap_err();
            assert!(matches!(error, EngineError::Inputs { .. }));
            let text = error.to_string();
            assert!(text.starts_with(message), "{}: {text}", engine.kind());
            assert!(text.contains("the graph takes `input_ids` int64 [batch, text]"), "{text}");
        }
        session.run(&good).unwrap();
    }
}

#[test]
fn bound_inputs_and_outputs_change_nothing() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("graph.onnx");
    fs::write(&path, linear()).unwrap();
    for engine in engines("bound_inputs_and_outputs_change_nothing") {
        let run = |io_binding| {
            let options = SessionOptions { io_binding, ..SessionOptions::default() };
            let mut session = engine.load(&path, &options).unwrap();
            [3, 1, 5].map(|rows| session.run(&features(rows)).unwrap())
        };
        assert_eq!(run(true), run(false), "{}", engine.kind());
    }
}

#[test]
fn forked_sessions_run_side_by_side() {
    for engine in engines("forked_sessions_run_side_by_side") {
        let mut session = load_kept(&*engine);
        let expected = session.1.run(&features(8)).unwrap();
        let forks: Vec<_> = (0..3).map(|_| session.1.fork().unwrap()).collect();
        std::thread::scope(|scope| {
            for mut fork in forks {
                let expected = &expected;
                scope.spawn(move || {
                    for _ in 0..20 {
                        assert_eq!(fork.run(&features(8)).unwrap(), *expected);
                    }
                });
            }
        });
    }
}

/// A session whose file stays: ONNX Runtime reads it again for a fork.
fn load_kept(engine: &dyn Engine) -> (TempDir, Box<dyn Session>) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("graph.onnx");
    fs::write(&path, linear()).unwrap();
    let session = engine.load(&path, &SessionOptions::default()).unwrap();
    (folder, session)
}

#[test]
fn what_is_no_graph_is_an_error_of_that_file() {
    let whole = linear();
    let unknown_op = common::model(pb::GraphProto {
        name: "unknown".to_owned(),
        node: vec![node("x", "NoSuchOperator", &["features"], "logits")],
        input: vec![common::value("features", common::FLOAT, &[common::Axis::Named("batch")])],
        output: vec![common::value("logits", common::FLOAT, &[common::Axis::Named("batch")])],
        ..pb::GraphProto::default()
    });
    let dangling = common::model(pb::GraphProto {
        name: "dangling".to_owned(),
        node: vec![node("x", "Add", &["features", "nothing"], "logits")],
        input: vec![common::value("features", common::FLOAT, &[common::Axis::Named("batch")])],
        output: vec![common::value("logits", common::FLOAT, &[common::Axis::Named("batch")])],
        ..pb::GraphProto::default()
    });
    let absent_output = common::model(pb::GraphProto {
        name: "absent".to_owned(),
        node: vec![node("x", "Neg", &["features"], "negated")],
        input: vec![common::value("features", common::FLOAT, &[common::Axis::Named("batch")])],
        output: vec![common::value("logits", common::FLOAT, &[common::Axis::Named("batch")])],
        ..pb::GraphProto::default()
    });
    let cases: [(&str, &[u8]); 7] = [
        ("empty", b""),
        ("text", b"<!DOCTYPE html><html></html>"),
        ("cut in half", &whole[..whole.len() / 2]),
        ("last byte missing", &whole[..whole.len() - 1]),
        ("unknown operator", &unknown_op),
        ("dangling input", &dangling),
        ("output that nothing computes", &absent_output),
    ];
    for engine in engines("what_is_no_graph_is_an_error_of_that_file") {
        for (name, bytes) in cases {
            let error = load(&*engine, bytes).err().unwrap_or_else(|| panic!("{} loads {name}", engine.kind()));
            assert!(matches!(error, EngineError::Graph { .. }), "{} on {name}: {error}", engine.kind());
            assert!(error.to_string().contains("graph.onnx"), "{error}");
        }
        let absent = engine.load("no/such/graph.onnx".as_ref(), &SessionOptions::default());
        assert!(matches!(absent, Err(EngineError::Graph { .. })));
    }
}

#[test]
fn a_graph_is_shown_with_its_shapes() {
    let folder = TempDir::new().unwrap();
    let path = bundle(folder.path()).join("onnx/full.onnx");
    let mut graph = Graph::read(&path).unwrap();
    graph.infer_shapes(&path).unwrap();
    insta::assert_snapshot!(graph.text(), @r"
    graph linear (opset ai.onnx 17; IR version 8; by test)
    inputs
      features float32 [batch, 3]
    outputs
      logits float32 [batch, 2]
    nodes (2)
      head.product = MatMul(features [batch, 3], head.weight [3, 2]) -> product [batch, 2]
      head.sum = Add(product [batch, 2], head.bias [2]) -> logits [batch, 2]
    initializers (2, 32 bytes)
      head.weight float32 [3, 2] 24 bytes
      head.bias float32 [2] 8 bytes
    ");
    fs::write(&path, b"<html>").unwrap();
    assert!(Graph::read(&path).unwrap_err().to_string().ends_with("full.onnx is not an ONNX graph"));
}
