//! Operators in single precision, each beside what tract makes of the same nodes.

use std::sync::Arc;

use prost::Message;
use tract_linalg::multithread::{Executor, multithread_tract_scope};
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_shape_proto::Dimension;
use tract_onnx::pb::tensor_shape_proto::dimension::Value;
use tract_onnx::pb::type_proto::{Tensor as TensorType, Value as TypeValue};
use tract_onnx::pb::{OperatorSetIdProto, TensorShapeProto, TypeProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::Approximation;

use super::*;

/// The operator that a LayerNormalization over the last of two values becomes; `change` may spoil it.
fn normed(change: impl FnOnce(&mut NodeProto)) -> String {
    let mut norm = node("LayerNormalization", &["x", "scale", "shift"], "y");
    let float = |name: &str, f: f32| AttributeProto { name: name.to_owned(), f, ..AttributeProto::default() };
    let integer = |name: &str, i: i64| AttributeProto { name: name.to_owned(), i, ..AttributeProto::default() };
    norm.attribute = vec![integer("axis", -1), float("epsilon", 1e-12)];
    change(&mut norm);
    let vector = |name: &str| constant(name, DataType::Float, &[2], vec![0; 8]);
    let half = constant("half", DataType::Float16, &[2], vec![0; 4]);
    let graph = GraphProto {
        node: vec![norm],
        initializer: vec![vector("scale"), vector("shift"), half, constant("one", DataType::Float, &[1], vec![0; 4])],
        ..GraphProto::default()
    };
    let mut model = ModelProto { graph: Some(graph), ..ModelProto::default() };
    fuse(&mut model);
    model.graph.unwrap_or_default().node.remove(0).op_type
}

#[test]
fn a_layer_norm_in_single_precision_over_the_last_axis_is_one_operator() {
    assert_eq!(normed(|_| ()), LAYER_NORM);
    for change in [
        (|node: &mut NodeProto| node.attribute[0].i = 1) as fn(&mut NodeProto),
        |node| node.input[1] = "half".to_owned(),
        |node| node.input[1] = "one".to_owned(),
        |node| node.input[2] = "computed".to_owned(),
        |node| drop(node.input.pop()),
        |node| node.output.push("mean".to_owned()),
    ] {
        assert_eq!(normed(change), "LayerNormalization");
    }
}

#[test]
fn rows_are_normalized_each_by_itself() {
    let width = 37;
    let value = |i: usize| (i * 7919 % 101) as f32 / 10.0 - 3.0;
    let x: Vec<f32> = (0..3 * width).map(value).collect();
    let scale: Vec<f32> = (0..width).map(|i| 1.0 + i as f32 / 10.0).collect();
    let bias: Vec<f32> = (0..width).map(|i| i as f32).collect();
    let mut found = x.clone();
    layer_norm::normalize(&mut found, None, &scale, &bias, 1e-5);
    for (row, found) in x.chunks(width).zip(found.chunks(width)) {
        let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / width as f64;
        let variance = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / width as f64;
        for (i, x) in row.iter().enumerate() {
            let expected = (f64::from(*x) - mean) / (variance + 1e-5).sqrt() * f64::from(scale[i]) + f64::from(bias[i]);
            assert!((f64::from(found[i]) - expected).abs() < 1e-4, "{} is not {expected}", found[i]);
        }
    }
    let mut none = vec![f32::NAN; width];
    layer_norm::normalize(&mut none, None, &scale, &bias, 1e-5);
    assert!(none.iter().all(|x| x.is_nan()));
}

/// A value in single precision whose axes are symbols or, where they are digits, extents.
fn value(name: &str, axes: &[&str]) -> ValueInfoProto {
    let dim = |axis: &&str| Dimension {
        value: Some(axis.parse().map_or_else(|_| Value::DimParam((*axis).to_owned()), Value::DimValue)),
        ..Dimension::default()
    };
    let shape = Some(TensorShapeProto { dim: axes.iter().map(dim).collect() });
    let value = TypeValue::TensorType(TensorType { elem_type: DataType::Float as i32, shape });
    let r#type = Some(TypeProto { value: Some(value), ..TypeProto::default() });
    ValueInfoProto { name: name.to_owned(), r#type, ..ValueInfoProto::default() }
}

fn with(mut node: NodeProto, name: &str, ints: &[i64], i: i64) -> NodeProto {
    let kind = if ints.is_empty() { AttributeType::Int } else { AttributeType::Ints };
    let name = name.to_owned();
    let r#type = kind as i32;
    node.attribute.push(AttributeProto { name, ints: ints.to_vec(), i, r#type, ..AttributeProto::default() });
    node
}

fn plan(graph: &GraphProto, rewrite: bool) -> Arc<TypedRunnableModel> {
    let mut onnx = tract_onnx::onnx();
    let opset_import = vec![OperatorSetIdProto { version: 17, ..OperatorSetIdProto::default() }];
    let mut model = ModelProto { graph: Some(graph.clone()), opset_import, ir_version: 8, ..ModelProto::default() };
    if rewrite {
        register(&mut onnx);
        fuse(&mut model);
    }
    onnx.parse(&model, None).unwrap().model.into_typed().unwrap().into_optimized().unwrap().into_runnable().unwrap()
}

fn operators(plan: &TypedRunnableModel) -> Vec<String> {
    plan.model().nodes().iter().map(|node| node.op.name().into_owned()).collect()
}

/// Numbers of either sign that repeat nowhere soon.
fn numbers(shape: &[usize], seed: usize) -> TValue {
    let count = shape.iter().product();
    let data: Vec<f32> = (0..count).map(|i| ((i + seed) * 7919 % 1009) as f32 / 250.0 - 2.0).collect();
    Tensor::from_shape(shape, &data).unwrap().into_tvalue()
}

/// Runs the graph as tract does and with the operators of our own, on one thread and on three.
fn agree(graph: &GraphProto, ours: &str, inputs: &[TValue]) {
    let (plain, fused) = (plan(graph, false), plan(graph, true));
    assert!(operators(&fused).iter().any(|name| name == ours), "{:?}", operators(&fused));
    assert!(operators(&plain).iter().all(|name| name != ours));
    let expected = plain.run(inputs.into()).unwrap();
    for executor in [Executor::SingleThread, Executor::multithread(3)] {
        let found = multithread_tract_scope(executor, || fused.run(inputs.into())).unwrap();
        found[0].close_enough(&expected[0], Approximation::Approximate).unwrap();
        assert!(expected[0].to_plain_array_view::<f32>().unwrap().iter().any(|x| x.abs() > 1e-3));
    }
}

fn integers(name: &str, values: &[i64]) -> TensorProto {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    constant(name, DataType::Int64, &[values.len() as i64], bytes)
}

/// Attention of three heads of four features, as the exporter writes it.
fn attention_graph(masked: bool) -> GraphProto {
    let split = |from: &str, to: &str| node("Reshape", &[from, "split"], to);
    let turned = |from: &str, to: &str, perm: &[i64]| with(node("Transpose", &[from], to), "perm", perm, 0);
    let scores = if masked { "masked" } else { "scaled" };
    let mut graph = GraphProto {
        node: vec![
            split("q", "q.heads"),
            turned("q.heads", "q.turned", &[0, 2, 1, 3]),
            split("k", "k.heads"),
            turned("k.heads", "k.turned", &[0, 2, 3, 1]),
            split("v", "v.heads"),
            turned("v.heads", "v.turned", &[0, 2, 1, 3]),
            node("MatMul", &["q.turned", "k.turned"], "product"),
            node("Div", &["product", "divisor"], "scaled"),
            node("Add", &["scaled", "mask"], "masked"),
            with(node("Softmax", &[scores], "weights"), "axis", &[], -1),
            node("MatMul", &["weights", "v.turned"], "weighted"),
            turned("weighted", "context", &[0, 2, 1, 3]),
            node("Reshape", &["context", "joined"], "y"),
        ],
        initializer: vec![
            integers("split", &[0, 0, 3, 4]),
            integers("joined", &[0, 0, 12]),
            constant("divisor", DataType::Float, &[], 2f32.to_le_bytes().to_vec()),
        ],
        input: vec![
            value("q", &["batch", "queries", "12"]),
            value("k", &["batch", "keys", "12"]),
            value("v", &["batch", "keys", "12"]),
        ],
        output: vec![value("y", &["batch", "queries", "12"])],
        ..GraphProto::default()
    };
    if masked {
        graph.input.push(value("mask", &["batch", "1", "1", "keys"]));
    } else {
        graph.node.remove(8);
    }
    graph
}

#[test]
fn attention_is_that_of_its_nodes() {
    for (batch, queries, keys) in [(1, 1, 1), (2, 5, 7), (3, 1, 9), (2, 40, 90)] {
        let values = |tokens: usize, seed| numbers(&[batch, tokens, 12], seed);
        let mut inputs = vec![values(queries, 1), values(keys, 2), values(keys, 3)];
        agree(&attention_graph(false), "MbsdAttention", &inputs);
        let hidden = |i: usize| if i % keys > keys / 2 { -10_000.0 } else { 0.0 };
        let mask: Vec<f32> = (0..batch * keys).map(hidden).collect();
        inputs.push(Tensor::from_shape(&[batch, 1, 1, keys], &mask).unwrap().into_tvalue());
        let mut graph = attention_graph(true);
        agree(&graph, "MbsdAttention", &inputs);
        if queries == 1 {
            graph.node[0].input[1] = "split.one".to_owned();
            graph.initializer.extend([integers("split.one", &[0, 1, 3, 4]), integers("joined.one", &[0, 1, 12])]);
            graph.node[12].input[1] = "joined.one".to_owned();
            graph.input[0] = value("q", &["batch", "1", "12"]);
            graph.output[0] = value("y", &["batch", "1", "12"]);
            agree(&graph, "MbsdAttention", &inputs);
        }
    }
}

#[test]
fn a_graph_with_the_pattern_and_other_shapes_is_taken_as_it_is() {
    let mut graph = attention_graph(false);
    graph.input[1] = value("k", &["1", "keys", "12"]);
    graph.input[2] = value("v", &["1", "keys", "12"]);
    let expected =
        plan(&graph, false).run(tvec!(numbers(&[3, 2, 12], 1), numbers(&[1, 4, 12], 2), numbers(&[1, 4, 12], 3)));
    assert!(expected.is_ok(), "one row's keys serve all rows");
    let opset_import = vec![OperatorSetIdProto { version: 17, ..OperatorSetIdProto::default() }];
    let model = ModelProto { graph: Some(graph), opset_import, ir_version: 8, ..ModelProto::default() };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), model.encode_to_vec()).unwrap();
    let loaded = crate::engine::tract::load(file.path()).unwrap();
    assert!(operators(&loaded.plan).iter().all(|name| name != "MbsdAttention"));
}

#[test]
fn a_row_is_the_same_to_the_last_bit_whatever_is_beside_it() {
    let whole = ["batch", "tokens", "20"];
    let residual = residual(&whole, &whole, false);
    let attention = attention_graph(false);
    for (graph, widths) in [(&residual, &[20, 20][..]), (&attention, &[12, 12, 12])] {
        let plan = plan(graph, true);
        for tokens in [1, 5, 18, 37] {
            let inputs: TVec<TValue> =
                widths.iter().enumerate().map(|(seed, width)| numbers(&[3, tokens, *width], seed)).collect();
            let all = plan.run(inputs.clone()).unwrap();
            for row in 0..3 {
                let alone = inputs.iter().map(|input| input.slice(0, row, row + 1).unwrap().into_tvalue()).collect();
                let alone = plan.run(alone).unwrap();
                let beside = all[0].slice(0, row, row + 1).unwrap();
                assert_eq!(
                    alone[0].to_plain_array_view::<f32>().unwrap(),
                    beside.to_plain_array_view::<f32>().unwrap()
                );
            }
        }
    }
}

#[test]
fn what_is_not_that_attention_stays() {
    let changes: [fn(&mut GraphProto); 6] = [
        |graph| graph.initializer[0] = integers("split", &[0, 0, 4, 4]),
        |graph| graph.node[1].attribute[0].ints = vec![0, 2, 3, 1],
        |graph| graph.node[3].attribute[0].ints = vec![0, 2, 1, 3],
        |graph| graph.node[9].attribute[0].i = 2,
        |graph| graph.node[7].op_type = "Sub".to_owned(),
        |graph| graph.initializer[2] = constant("divisor", DataType::Float16, &[], vec![0; 2]),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut graph = attention_graph(true);
        change(&mut graph);
        let mut model = ModelProto { graph: Some(graph), ..ModelProto::default() };
        fuse(&mut model);
        let graph = model.graph.unwrap_or_default();
        assert!(graph.node.iter().all(|node| node.op_type != ATTENTION), "change {index}");
    }
}

/// LayerNorm of `a + b`, whose shapes are given.
fn residual(a: &[&str], b: &[&str], sum_is_output: bool) -> GraphProto {
    let floats = |name: &str, from: f32| {
        let bytes = (0..20).flat_map(|i| (from + i as f32 / 9.0).to_le_bytes()).collect();
        constant(name, DataType::Float, &[20], bytes)
    };
    let norm = with(node("LayerNormalization", &["sum", "scale", "bias"], "y"), "axis", &[], -1);
    let mut output = vec![value("y", &["batch", "tokens", "20"])];
    if sum_is_output {
        output.push(value("sum", &["batch", "tokens", "20"]));
    }
    GraphProto {
        node: vec![node("Add", &["a", "b"], "sum"), norm],
        initializer: vec![floats("scale", 0.5), floats("bias", -1.0)],
        input: vec![value("a", a), value("b", b)],
        output,
        ..GraphProto::default()
    }
}

#[test]
fn a_layer_norm_takes_in_the_residual_sum() {
    let whole = ["batch", "tokens", "20"];
    for (batch, tokens) in [(1, 1), (2, 3), (30, 70)] {
        let shape = [batch, tokens, 20];
        agree(&residual(&whole, &whole, false), "MbsdLayerNorm", &[numbers(&shape, 5), numbers(&shape, 6)]);
        agree(
            &residual(&whole, &["1", "1", "20"], false),
            "MbsdLayerNorm",
            &[numbers(&shape, 5), numbers(&[1, 1, 20], 6)],
        );
    }
    let sums = |graph: &GraphProto| operators(&plan(graph, true)).iter().filter(|name| name.contains("Add")).count();
    assert_eq!(sums(&residual(&whole, &whole, false)), 0);
    assert_eq!(sums(&residual(&whole, &["1", "1", "20"], false)), 1, "its operands have different shapes");
    assert_eq!(sums(&residual(&whole, &whole, true)), 1, "it is read elsewhere too");
}

#[test]
fn what_is_below_0_becomes_0_and_what_is_no_number_stays() {
    let graph = GraphProto {
        node: vec![node("Relu", &["x"], "y")],
        input: vec![value("x", &["count"])],
        output: vec![value("y", &["count"])],
        ..GraphProto::default()
    };
    let x = Tensor::from_shape(&[5], &[-1.5f32, 0.0, 2.5, f32::NEG_INFINITY, f32::NAN]).unwrap();
    let found = plan(&graph, true).run(tvec!(x.into_tvalue())).unwrap();
    let found = found[0].to_plain_array_view::<f32>().unwrap();
    assert_eq!(found.as_slice().unwrap()[..4], [0.0, 0.0, 2.5, 0.0]);
    assert!(found[4].is_nan());
}

/// Softmax over the last axis of `[batch, tokens, width]`.
fn shares_of_rows() -> GraphProto {
    GraphProto {
        node: vec![with(node("Softmax", &["x"], "y"), "axis", &[], -1)],
        input: vec![value("x", &["batch", "tokens", "width"])],
        output: vec![value("y", &["batch", "tokens", "width"])],
        ..GraphProto::default()
    }
}

#[test]
fn a_softmax_is_that_of_each_row_by_itself() {
    let plan = plan(&shares_of_rows(), true);
    for (tokens, width) in [(1, 1), (7, 13), (40, 69), (3, 200)] {
        agree(&shares_of_rows(), "MbsdSoftmax", &[numbers(&[2, tokens, width], 3)]);
        let x = numbers(&[1, tokens, width], 5);
        let all = plan.run(tvec!(x.clone())).unwrap();
        for row in 0..tokens {
            // By itself, where it lies otherwise in memory.
            let alone = plan.run(tvec!(x.slice(1, row, row + 1).unwrap().into_tvalue())).unwrap();
            let beside = all[0].slice(1, row, row + 1).unwrap();
            assert_eq!(alone[0].to_plain_array_view::<f32>().unwrap(), beside.to_plain_array_view::<f32>().unwrap());
        }
    }
    let mut other = shares_of_rows();
    other.node[0].attribute[0].i = 1;
    assert!(operators(&super::floats::plan(&other, true)).iter().all(|name| name != "MbsdSoftmax"), "another axis");
}

/// Attention of three heads of four features for three tags of five tokens, of which `asking` ask, as the exporter writes it.
fn one_way_graph(asking: i64, masked: bool) -> GraphProto {
    let turned = |from: &str, to: &str, perm: &[i64]| with(node("Transpose", &[from], to), "perm", perm, 0);
    let tags = |from: &str, shape: &str, to: &str, perm: &[i64]| {
        let split = format!("{to}.split");
        [node("Reshape", &[from, shape], &split), turned(&split, to, perm)]
    };
    let context = |from: &str, to: &str, perm: &[i64]| {
        let split = format!("{to}.split");
        [node("Reshape", &[from, "heads"], &split), turned(&split, to, perm)]
    };
    let over_context = if masked { "seen" } else { "scaled" };
    let mut nodes: Vec<NodeProto> = [
        tags("q", "asking", "q.tags", &[0, 3, 1, 2, 4]),
        tags("own.k", "own", "own.key", &[0, 3, 1, 4, 2]),
        tags("own.v", "own", "own.value", &[0, 3, 1, 2, 4]),
        context("k", "key", &[0, 2, 3, 1]),
        context("v", "value", &[0, 2, 1, 3]),
    ]
    .concat();
    nodes.extend([
        node("Reshape", &["q.tags", "flat"], "q.flat"),
        node("MatMul", &["q.flat", "key"], "product"),
        node("Div", &["product", "divisor"], "scaled"),
        node("MatMul", &["q.tags", "own.key"], "own.product"),
        node("Div", &["own.product", "divisor"], "own.scaled"),
        node("Add", &["own.scaled", "own.mask"], "own.masked"),
        node("Reshape", &["own.masked", "flat.own"], "own.scores"),
        with(node("Concat", &[over_context, "own.scores"], "scores"), "axis", &[], 3),
        with(node("Softmax", &["scores"], "weights"), "axis", &[], -1),
        node("Slice", &["weights", "zero", "cut", "last"], "of.context"),
        node("Slice", &["weights", "cut", "end", "last"], "of.own"),
        node("Reshape", &["of.own", "weights.own"], "of.tags"),
        node("MatMul", &["of.context", "value"], "from.context"),
        node("MatMul", &["of.tags", "own.value"], "from.tags"),
        node("Reshape", &["from.tags", "flat"], "from.own"),
        node("Add", &["from.context", "from.own"], "gathered"),
        turned("gathered", "gathered.turned", &[0, 2, 1, 3]),
        node("Reshape", &["gathered.turned", "joined"], "y"),
    ]);
    let mut input = vec![
        value("q", &["batch", &(3 * asking).to_string(), "12"]),
        value("own.k", &["batch", "15", "12"]),
        value("own.v", &["batch", "15", "12"]),
        value("k", &["batch", "7", "12"]),
        value("v", &["batch", "7", "12"]),
        value("own.mask", &["batch", "1", "3", "1", "5"]),
    ];
    if masked {
        nodes.insert(13, node("Add", &["scaled", "mask"], "seen"));
        input.push(value("mask", &["batch", "1", "1", "7"]));
    }
    GraphProto {
        node: nodes,
        initializer: vec![
            integers("asking", &[0, 3, asking, 3, 4]),
            integers("own", &[0, 3, 5, 3, 4]),
            integers("heads", &[0, 0, 3, 4]),
            integers("flat", &[0, 3, -1, 4]),
            integers("flat.own", &[0, 3, -1, 5]),
            integers("weights.own", &[0, 3, 3, asking, 5]),
            integers("joined", &[0, 0, 12]),
            integers("zero", &[0]),
            integers("cut", &[7]),
            integers("end", &[i64::MAX]),
            integers("last", &[3]),
            constant("divisor", DataType::Float, &[], 2f32.to_le_bytes().to_vec()),
        ],
        input,
        output: vec![value("y", &["batch", &(3 * asking).to_string(), "12"])],
        ..GraphProto::default()
    }
}

#[test]
fn attention_of_tags_over_a_product_is_that_of_its_nodes() {
    for (batch, asking) in [(1, 5), (3, 5), (2, 1)] {
        let tokens = |tokens: usize, seed| numbers(&[batch, tokens, 12], seed);
        let hidden = |count: usize, from: usize| {
            let mask: Vec<f32> = (0..count).map(|i| if i % 7 >= from { -10_000.0 } else { 0.0 }).collect();
            mask
        };
        let own = Tensor::from_shape(&[batch, 1, 3, 1, 5], &hidden(batch * 15, 4)).unwrap().into_tvalue();
        let mut inputs =
            vec![tokens(3 * asking as usize, 1), tokens(15, 2), tokens(15, 3), tokens(7, 4), tokens(7, 5), own];
        agree(&one_way_graph(asking, false), "MbsdOneWayAttention", &inputs);
        inputs.push(Tensor::from_shape(&[batch, 1, 1, 7], &hidden(batch * 7, 5)).unwrap().into_tvalue());
        agree(&one_way_graph(asking, true), "MbsdOneWayAttention", &inputs);
    }
}

#[test]
fn what_is_not_attention_of_tags_over_a_product_stays() {
    let changes: [fn(&mut GraphProto); 7] = [
        |graph| graph.initializer[7] = integers("zero", &[1]),
        |graph| graph.initializer[9] = integers("end", &[9]),
        |graph| graph.initializer[10] = integers("last", &[2]),
        |graph| graph.initializer[0] = integers("asking", &[0, 3, 5, 4, 3]),
        |graph| graph.node[3].attribute[0].ints = vec![0, 3, 1, 2, 4],
        |graph| graph.node[19].input[0] = "scores".to_owned(),
        |graph| graph.initializer[11] = constant("divisor", DataType::Float16, &[], vec![0; 2]),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut graph = one_way_graph(5, false);
        change(&mut graph);
        let mut model = ModelProto { graph: Some(graph), ..ModelProto::default() };
        fuse(&mut model);
        let graph = model.graph.unwrap_or_default();
        assert!(graph.node.iter().all(|node| node.op_type != ONE_WAY_ATTENTION), "change {index}");
    }
}
