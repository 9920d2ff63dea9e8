use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, TensorProto, ValueInfoProto};

use super::eight_bit::{LEVELS, SMALLEST};
use super::patterns::fused_node;
use super::*;

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    fused_node(op, output, inputs, &[output.to_owned()])
}

fn reduce(op: &str, output: &str) -> NodeProto {
    let attribute = |name: &str, i, ints: &[i64]| AttributeProto {
        name: name.to_owned(),
        i,
        ints: ints.to_vec(),
        ..AttributeProto::default()
    };
    let attribute = vec![attribute("keepdims", 1, &[]), attribute("axes", 0, &[-1])];
    NodeProto { attribute, ..node(op, &["x"], output) }
}

fn constant(name: &str, dtype: DataType, dims: &[i64], raw_data: Vec<u8>) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        data_type: dtype as i32,
        dims: dims.to_vec(),
        raw_data,
        ..TensorProto::default()
    }
}

/// A product as `mbsd calibrate` writes it, signed, with a bias; `change` may spoil it. The operators afterwards.
fn fused(change: impl FnOnce(&mut GraphProto)) -> Vec<String> {
    let number = |name: &str, value: f32| constant(name, DataType::Float, &[], value.to_le_bytes().to_vec());
    let vector = |name: &str| constant(name, DataType::Float, &[2], vec![0; 8]);
    let mut graph = GraphProto {
        node: vec![
            reduce("ReduceMax", "largest"),
            reduce("ReduceMin", "least"),
            node("Neg", &["least"], "negated"),
            node("Max", &["largest", "negated"], "either"),
            node("Max", &["either", "smallest"], "magnitude"),
            node("Div", &["magnitude", "levels"], "scale"),
            node("Div", &["levels", "magnitude"], "inverse"),
            node("Mul", &["x", "inverse"], "scaled"),
            node("QuantizeLinear", &["scaled", "unit", "zero"], "bytes"),
            node("Shape", &["x"], "size"),
            node("Div", &["size", "size"], "ratio"),
            node("Cast", &["ratio"], "one"),
            node("MatMulInteger", &["bytes", "weight", "zero"], "integers"),
            node("Cast", &["integers"], "floats"),
            node("Mul", &["one", "columns"], "columns.one"),
            node("Mul", &["floats", "columns.one"], "product.columns"),
            node("Mul", &["product.columns", "scale"], "product"),
            node("Add", &["product", "bias"], "y"),
        ],
        initializer: vec![
            number("smallest", SMALLEST),
            number("levels", LEVELS),
            number("unit", 1.0),
            constant("zero", DataType::Int8, &[], vec![0]),
            constant("weight", DataType::Int8, &[2, 2], vec![0; 4]),
            vector("columns"),
            vector("bias"),
        ],
        output: vec![ValueInfoProto { name: "y".to_owned(), ..ValueInfoProto::default() }],
        ..GraphProto::default()
    };
    change(&mut graph);
    let mut model = ModelProto { graph: Some(graph), ..ModelProto::default() };
    fuse(&mut model);
    let ours = |node: &NodeProto| node.op_type.starts_with("Mbsd");
    let graph = model.graph.unwrap_or_default();
    graph.node.iter().filter(|n| ours(n)).map(|n| format!("{}/{}", n.op_type, n.input.len())).collect()
}

#[test]
fn a_product_becomes_two_operators() {
    assert_eq!(fused(|_| ()), ["MbsdQuantizeTokens/1", "MbsdScaleProducts/4"]);
}

#[test]
fn what_is_not_the_pattern_stays() {
    let other_levels = |graph: &mut GraphProto| graph.initializer[1].raw_data = 63f32.to_le_bytes().to_vec();
    assert_eq!(fused(other_levels), ["MbsdScaleProducts/4"]);
    let other_axis = |graph: &mut GraphProto| graph.node[0].attribute[1].ints = vec![1];
    assert_eq!(fused(other_axis), ["MbsdScaleProducts/4"]);
    let unsigned = |graph: &mut GraphProto| graph.initializer[3] = constant("zero", DataType::Uint8, &[], vec![128]);
    assert_eq!(fused(unsigned), ["MbsdScaleProducts/4"]);
    let not_one = |graph: &mut GraphProto| graph.node[10].input[1] = "x".to_owned();
    assert_eq!(fused(not_one), ["MbsdQuantizeTokens/1"]);
    let read_twice = |graph: &mut GraphProto| graph.node.push(node("Relu", &["product"], "other"));
    assert_eq!(fused(read_twice), ["MbsdQuantizeTokens/1", "MbsdScaleProducts/3"], "the sum stays a node");
}

#[test]
fn rounding_is_to_even_and_what_is_not_finite_shows() {
    let width = 6;
    let x = [127.0, 0.5, 1.5, -2.5, -126.6, 0.0, 1.0, f32::NAN, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let (mut bytes, mut scales) = ([0i8; 18], [0f32; 3]);
    eight_bit::quantize(&x, width, &mut bytes, &mut scales);
    assert_eq!((scales[0], &bytes[..width]), (1.0, &[127, 0, 2, -2, -127, 0][..]));
    assert!(scales[1].is_nan());
    assert_eq!((scales[2], &bytes[12..]), (SMALLEST / LEVELS, &[0; 6][..]));
    let mut floats = [0f32; 4];
    eight_bit::scale(&[3, -4, 5, 6], &[0.5, 2.0], &[1.0, f32::NAN], Some(&[0.25, 1.0]), &mut floats);
    assert_eq!(floats[..2], [1.75, -7.0]);
    assert!(floats[2..].iter().all(|float| float.is_nan()));
}

mod floats;
