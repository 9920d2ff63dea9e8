//! Half-precision graphs compute in single precision.
//!
//! tract's products in half precision also sum in half precision, so that thousands of rounded terms add up, and are slower where
//! the processor has no such arithmetic. So the file's types are widened before tract reads it, its weights as exact as they are
//! stored, and what is made of single-precision graphs is made of these too.

use half::f16;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::type_proto::Value;
use tract_onnx::pb::{AttributeProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};

const HALF: i32 = DataType::Float16 as i32;
const SINGLE: i32 = DataType::Float as i32;

/// Widens weights, constants, casts, inputs and outputs. Values go in and come out in single precision as it is.
pub(super) fn widen(model: &mut ModelProto) {
    let Some(graph) = model.graph.as_mut() else { return };
    let casts: Vec<NodeProto> = graph.initializer.iter_mut().filter_map(cast_of_stored).collect();
    graph.node.splice(0..0, casts);
    graph.initializer.iter_mut().for_each(widen_tensor);
    graph.input.iter_mut().chain(&mut graph.output).for_each(widen_value);
    graph.node.iter_mut().for_each(widen_node);
}

/// What makes a weight single that lies in a file of its own, which tract reads: the weight takes another name.
fn cast_of_stored(tensor: &mut TensorProto) -> Option<NodeProto> {
    if !is_half(tensor) || !is_stored_apart(tensor) {
        return None;
    }
    let name = std::mem::take(&mut tensor.name);
    tensor.name = format!("{name}.half");
    let to = AttributeProto {
        name: "to".to_owned(),
        i: i64::from(SINGLE),
        r#type: AttributeType::Int as i32,
        ..AttributeProto::default()
    };
    Some(NodeProto {
        op_type: "Cast".to_owned(),
        name: format!("{name}.single"),
        input: vec![tensor.name.clone()],
        output: vec![name],
        attribute: vec![to],
        ..NodeProto::default()
    })
}

fn is_half(tensor: &TensorProto) -> bool {
    tensor.data_type == HALF
}

fn is_stored_apart(tensor: &TensorProto) -> bool {
    tensor.data_location == Some(DataLocation::External as i32)
}

fn widen_tensor(tensor: &mut TensorProto) {
    if !is_half(tensor) || is_stored_apart(tensor) {
        return;
    }
    tensor.data_type = SINGLE;
    // The 16 bits of each value, in the file's order or in the low half of an integer.
    let (pairs, _) = tensor.raw_data.as_chunks::<2>();
    let raw = pairs.iter().map(|bytes| u16::from_le_bytes(*bytes));
    let listed = tensor.int32_data.iter().map(|&bits| bits as u16);
    let wide = raw.chain(listed).flat_map(|bits| f16::from_bits(bits).to_f32().to_le_bytes()).collect();
    tensor.raw_data = wide;
    tensor.int32_data.clear();
}

fn widen_value(value: &mut ValueInfoProto) {
    let of = value.r#type.as_mut().and_then(|kind| kind.value.as_mut());
    if let Some(Value::TensorType(tensor)) = of
        && tensor.elem_type == HALF
    {
        tensor.elem_type = SINGLE;
    }
}

fn widen_node(node: &mut NodeProto) {
    let is_cast = node.op_type == "Cast";
    for attribute in &mut node.attribute {
        if is_cast && attribute.name == "to" && attribute.i == i64::from(HALF) {
            attribute.i = i64::from(SINGLE);
        }
        if let Some(tensor) = attribute.t.as_mut() {
            widen_tensor(tensor);
        }
        if let Some(graph) = attribute.g.as_mut() {
            graph.initializer.iter_mut().for_each(widen_tensor);
            graph.node.iter_mut().for_each(widen_node);
        }
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::GraphProto;

    use super::*;

    #[test]
    fn weights_keep_their_values_and_casts_their_sense() {
        let values = [1.5f32, -65504.0, 6.0e-8, 0.0];
        let bits = values.map(|value| f16::from_f32(value).to_bits());
        let half = TensorProto { name: "raw".to_owned(), data_type: HALF, dims: vec![4], ..TensorProto::default() };
        let raw = TensorProto { raw_data: bits.iter().flat_map(|bits| bits.to_le_bytes()).collect(), ..half.clone() };
        let listed = TensorProto { int32_data: bits.iter().map(|&bits| i32::from(bits)).collect(), ..half };
        let cast = |to: i32| NodeProto {
            op_type: "Cast".to_owned(),
            attribute: vec![AttributeProto { name: "to".to_owned(), i: i64::from(to), ..AttributeProto::default() }],
            ..NodeProto::default()
        };
        let graph = GraphProto {
            node: vec![cast(HALF), cast(DataType::Int64 as i32)],
            initializer: vec![raw, listed],
            ..GraphProto::default()
        };
        let mut model = ModelProto { graph: Some(graph), ..ModelProto::default() };
        widen(&mut model);
        let graph = model.graph.unwrap();
        let expected: Vec<u8> = values.iter().flat_map(|v| f16::from_f32(*v).to_f32().to_le_bytes()).collect();
        for tensor in &graph.initializer {
            assert_eq!((tensor.data_type, &tensor.raw_data), (SINGLE, &expected));
            assert!(tensor.int32_data.is_empty());
        }
        let to: Vec<i64> = graph.node.iter().map(|node| node.attribute[0].i).collect();
        assert_eq!(to, [i64::from(SINGLE), i64::from(DataType::Int64 as i32)]);
    }
}
