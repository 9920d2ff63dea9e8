//! Quantized activations as tract runs them best: signed.
//!
//! An 8-bit graph quantizes activations to unsigned bytes around a zero point of 128, since that is what ONNX Runtime has fast
//! kernels for. tract multiplies signed bytes without a zero point faster. Both stand for the same numbers, `q - 128`, so
//! the zero point of such a graph is rewritten before tract reads it: the products are equal to the last bit.

use std::collections::{BTreeMap, BTreeSet};

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, ModelProto, TensorProto};

/// The zero point that stands for 0 in unsigned activations.
const UNSIGNED_ZERO: u8 = 128;

/// Rewrites each unsigned zero point of 128 that only serves to quantize the left operands of `MatMulInteger` nodes.
pub(super) fn sign_activations(model: &mut ModelProto) {
    let Some(graph) = model.graph.as_mut() else { return };
    let zero_points: BTreeSet<String> =
        graph.initializer.iter().filter(|tensor| is_unsigned_zero(tensor)).map(|tensor| tensor.name.clone()).collect();
    let signed: Vec<String> = zero_points.into_iter().filter(|name| only_quantizes_operands(graph, name)).collect();
    for tensor in graph.initializer.iter_mut().filter(|tensor| signed.contains(&tensor.name)) {
        tensor.data_type = DataType::Int8 as i32;
        tensor.raw_data = vec![0];
        tensor.int32_data.clear();
    }
}

fn is_unsigned_zero(tensor: &TensorProto) -> bool {
    let one = tensor.dims.iter().product::<i64>() == 1;
    let value = tensor.raw_data.first().copied().map(i32::from).or(tensor.int32_data.first().copied());
    one && tensor.data_type == DataType::Uint8 as i32 && value == Some(i32::from(UNSIGNED_ZERO))
}

/// Whether every reader of the zero point is a quantization whose bytes go to products that subtract it again, or one of
/// those products.
fn only_quantizes_operands(graph: &GraphProto, zero_point: &str) -> bool {
    if graph.output.iter().any(|output| output.name == zero_point) {
        return false;
    }
    let mut quantized: BTreeSet<&str> = BTreeSet::new();
    let mut readers: BTreeMap<&str, Vec<(usize, usize)>> = BTreeMap::new();
    for (index, node) in graph.node.iter().enumerate() {
        for (slot, input) in node.input.iter().enumerate() {
            readers.entry(input).or_default().push((index, slot));
        }
    }
    let mut operands: BTreeSet<&str> = BTreeSet::new();
    for &(index, slot) in readers.get(zero_point).map_or(&[][..], Vec::as_slice) {
        let node = &graph.node[index];
        match (node.op_type.as_str(), slot) {
            ("QuantizeLinear", 2) => quantized.extend(node.output.iter().map(String::as_str)),
            ("MatMulInteger", 2) => operands.extend(node.input.first().map(String::as_str)),
            _ => return false,
        }
    }
    operands.is_subset(&quantized)
        && quantized.iter().all(|bytes| {
            graph.output.iter().all(|output| output.name != *bytes)
                && readers.get(bytes).is_none_or(|readers| {
                    readers.iter().all(|&(index, slot)| {
                        let node = &graph.node[index];
                        let zero = node.input.get(2).map(String::as_str);
                        node.op_type == "MatMulInteger" && slot == 0 && zero == Some(zero_point)
                    })
                })
        })
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::{NodeProto, ValueInfoProto};

    use super::*;

    fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            op_type: op.to_owned(),
            input: inputs.iter().map(|name| (*name).to_owned()).collect(),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        }
    }

    fn signed(nodes: Vec<NodeProto>, zero_point: u8, output: &str) -> bool {
        let zero = TensorProto {
            name: "zero".to_owned(),
            data_type: DataType::Uint8 as i32,
            raw_data: vec![zero_point],
            ..TensorProto::default()
        };
        let output = ValueInfoProto { name: output.to_owned(), ..ValueInfoProto::default() };
        let graph = GraphProto { node: nodes, initializer: vec![zero], output: vec![output], ..GraphProto::default() };
        let mut model = ModelProto { graph: Some(graph), ..ModelProto::default() };
        sign_activations(&mut model);
        let zero = &model.graph.as_ref().unwrap().initializer[0];
        if zero.data_type == DataType::Int8 as i32 {
            assert_eq!(zero.raw_data, [0]);
            return true;
        }
        assert_eq!(zero.raw_data, [zero_point]);
        false
    }

    #[test]
    fn only_a_zero_point_that_products_subtract_again_is_rewritten() {
        let quantize = || node("QuantizeLinear", &["x", "scale", "zero"], "q");
        let product = || node("MatMulInteger", &["q", "w", "zero"], "y");
        assert!(signed(vec![quantize(), product(), product()], 128, "y"));
        assert!(!signed(vec![quantize(), product()], 127, "y"), "another zero point saturates elsewhere");
        assert!(!signed(vec![quantize(), product()], 128, "q"), "the bytes themselves are wanted");
        assert!(!signed(vec![quantize(), product(), node("MatMulInteger", &["p", "w", "zero"], "y")], 128, "y"));
        let cases = [
            node("MatMulInteger", &["q", "w"], "y"),
            node("MatMulInteger", &["w", "q", "zero"], "y"),
            node("DequantizeLinear", &["q", "scale", "zero"], "y"),
            node("Cast", &["q"], "y"),
        ];
        for reader in cases {
            let op = reader.op_type.clone();
            assert!(!signed(vec![quantize(), product(), reader], 128, "y"), "{op} reads the bytes too");
        }
    }
}
