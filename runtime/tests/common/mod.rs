//! Tiny graphs and bundles, and the ONNX Runtime library where there is one.

#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mbsd_runtime::engine::{self, EngineOptions};
use mbsd_spec::bundle::{
    Artifact, BundleWriter, DimSpec, Manifest, Parity, Provenance, SCHEMA_VERSION, TensorSpec, names,
};
use mbsd_spec::{Config, Precision, Task, Variant};
use prost::Message;
use tract_onnx::pb;

pub(crate) const FLOAT: i32 = 1;
pub(crate) const INT64: i32 = 7;
pub(crate) const BOOL: i32 = 9;

/// An axis: a number or a symbol.
pub(crate) enum Axis {
    Is(i64),
    Named(&'static str),
}

pub(crate) fn value(name: &str, dtype: i32, shape: &[Axis]) -> pb::ValueInfoProto {
    use pb::tensor_shape_proto::Dimension;
    use pb::tensor_shape_proto::dimension::Value;
    let dim = |axis: &Axis| Dimension {
        value: Some(match axis {
            Axis::Is(extent) => Value::DimValue(*extent),
            Axis::Named(symbol) => Value::DimParam((*symbol).to_owned()),
        }),
        ..Dimension::default()
    };
    let tensor = pb::type_proto::Tensor {
        elem_type: dtype,
        shape: Some(pb::TensorShapeProto { dim: shape.iter().map(dim).collect() }),
    };
    pb::ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(pb::TypeProto {
            value: Some(pb::type_proto::Value::TensorType(tensor)),
            ..pb::TypeProto::default()
        }),
        ..pb::ValueInfoProto::default()
    }
}

pub(crate) fn node(name: &str, op: &str, inputs: &[&str], output: &str) -> pb::NodeProto {
    pb::NodeProto {
        name: name.to_owned(),
        op_type: op.to_owned(),
        input: inputs.iter().map(|input| (*input).to_owned()).collect(),
        output: vec![output.to_owned()],
        ..pb::NodeProto::default()
    }
}

pub(crate) fn floats(name: &str, dims: &[i64], data: &[f32]) -> pb::TensorProto {
    pb::TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type: FLOAT,
        raw_data: data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ..pb::TensorProto::default()
    }
}

/// The bytes of a graph file.
pub(crate) fn model(graph: pb::GraphProto) -> Vec<u8> {
    let opset = pb::OperatorSetIdProto { domain: String::new(), version: 17 };
    let model = pb::ModelProto {
        ir_version: 8,
        producer_name: "test".to_owned(),
        opset_import: vec![opset],
        graph: Some(graph),
        ..pb::ModelProto::default()
    };
    model.encode_to_vec()
}

/// `logits = features x [[1, 2], [3, 4], [5, 6]] + [0.5, -0.5]`, over a symbolic batch.
pub(crate) fn linear() -> Vec<u8> {
    model(pb::GraphProto {
        name: "linear".to_owned(),
        node: vec![
            node("head.product", "MatMul", &["features", "head.weight"], "product"),
            node("head.sum", "Add", &["product", "head.bias"], "logits"),
        ],
        initializer: vec![
            floats("head.weight", &[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
            floats("head.bias", &[2], &[0.5, -0.5]),
        ],
        input: vec![value("features", FLOAT, &[Axis::Named("batch"), Axis::Is(3)])],
        output: vec![value("logits", FLOAT, &[Axis::Named("batch"), Axis::Is(2)])],
        ..pb::GraphProto::default()
    })
}

/// `kept = attention_mask ? input_ids : token_type_ids`, over a symbolic batch and text length.
pub(crate) fn select() -> Vec<u8> {
    let shape = || [Axis::Named("batch"), Axis::Named("text")];
    model(pb::GraphProto {
        name: "select".to_owned(),
        node: vec![node("select", "Where", &["attention_mask", "input_ids", "token_type_ids"], "kept")],
        input: vec![
            value("input_ids", INT64, &shape()),
            value("attention_mask", BOOL, &shape()),
            value("token_type_ids", INT64, &shape()),
        ],
        output: vec![value("kept", INT64, &shape())],
        ..pb::GraphProto::default()
    })
}

/// A bundle whose `full` graph is `linear` and whose `text` graph is `select`.
pub(crate) fn bundle(folder: &Path) -> PathBuf {
    let root = folder.join("bundle");
    let writer = BundleWriter::create(&root).unwrap();
    writer.write(names::CONFIG, Config::base().to_json()).unwrap();
    let spec = |name: &str, dtype: &str, shape: &[DimSpec]| TensorSpec {
        name: name.to_owned(),
        dtype: dtype.to_owned(),
        shape: shape.to_vec(),
    };
    let symbol = |name: &str| DimSpec::Symbol(name.to_owned());
    let rows = [symbol("batch"), symbol("text")];
    let graphs = [
        (
            Variant::Full,
            linear(),
            vec![spec("features", "float32", &[symbol("batch"), DimSpec::Fixed(3)])],
            vec![spec("logits", "float32", &[symbol("batch"), DimSpec::Fixed(2)])],
        ),
        (
            Variant::Text,
            select(),
            vec![
                spec("input_ids", "int64", &rows),
                spec("attention_mask", "bool", &rows),
                spec("token_type_ids", "int64", &rows),
            ],
            vec![spec("kept", "int64", &rows)],
        ),
    ];
    let mut artifacts = Vec::new();
    for (variant, bytes, inputs, outputs) in graphs {
        let path = format!("{}/{variant}.onnx", names::GRAPHS);
        writer.write(&path, &bytes).unwrap();
        artifacts.push(Artifact {
            variant,
            precision: Precision::F32,
            path,
            opset: 17,
            bytes: bytes.len() as u64,
            inputs,
            outputs,
            parity: BTreeMap::from([("tract".to_owned(), Parity::NotMeasured("not measured: a test".to_owned()))]),
            quantization: None,
        });
    }
    let manifest = Manifest {
        schema_version: SCHEMA_VERSION,
        task: Task::Match,
        labels: Vec::new(),
        threshold: Some(0.5),
        thresholds: BTreeMap::new(),
        max_text_tokens: 144,
        artifacts,
        files: BTreeMap::new(),
        provenance: Provenance { producer: "test 1".to_owned(), parameters: 8, ..Provenance::default() },
    };
    writer.finish(manifest).unwrap();
    root
}

/// Whether the usual places hold an ONNX Runtime library. Says so where they do not.
pub(crate) fn onnxruntime(test: &str) -> bool {
    match engine::onnxruntime(&EngineOptions::default()) {
        Ok(_) => true,
        Err(error) => {
            let reason = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            eprintln!("SKIPPED {test}: {reason}");
            false
        }
    }
}
