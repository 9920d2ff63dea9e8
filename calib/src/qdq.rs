//! Static ranges: QuantizeLinear/DequantizeLinear pairs around the operands of products, symmetric, a scale for each tensor of
//! activations and for each output of a weight. This is the form that TensorRT reads ranges from; ONNX Runtime turns it into
//! 8-bit products on a CPU as well.
//!
//! ```text
//! y = MatMul(DequantizeLinear(QuantizeLinear(x, s, 0), s, 0), DequantizeLinear(W, columns, axis 1))
//! ```

use std::collections::BTreeMap;

use tract_onnx::pb::NodeProto;
use tract_onnx::pb::tensor_proto::DataType;

use crate::error::CalibError;
use crate::graph::{OnnxGraph, Product, node, node_with};
use crate::weights::{QuantizedWeight, WeightBits, store};

/// Steps of a range on each side of 0.
const LEVELS: f32 = 127.0;

/// How activations lie in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activations {
    /// Around 0: the only form that TensorRT reads.
    #[default]
    Signed,
    /// Around 128: the form that ONNX Runtime has fast kernels for on CPUs. It changes signed activations to this one where a
    /// single product reads them, and computes the others in floats.
    Unsigned,
}

/// Puts quantization pairs around the operands of the given products. `ranges` has the largest magnitude that is told apart
/// of each product's input.
///
/// # Errors
/// If an input has no range above 0, or a weight cannot be read or holds a value that is not finite.
pub fn quantize(
    graph: &mut OnnxGraph,
    products: &[Product],
    ranges: &BTreeMap<String, f32>,
    form: Activations,
    bits: WeightBits,
) -> Result<(), CalibError> {
    let chosen: BTreeMap<&str, &Product> = products.iter().map(|product| (product.output.as_str(), product)).collect();
    for product in products {
        if !ranges.get(&product.input).is_some_and(|range| range.is_finite() && *range > 0.0) {
            let reason = "has no range that was observed".to_owned();
            return Err(CalibError::Range { name: product.input.clone(), reason });
        }
    }
    let (dtype, zero) = match form {
        Activations::Signed => (DataType::Int8, 0),
        Activations::Unsigned => (DataType::Uint8, 128),
    };
    let zero = graph.constant("int8.zero".to_owned(), dtype, &[], vec![zero]);
    let mut activations: BTreeMap<String, String> = BTreeMap::new();
    let mut weights: BTreeMap<String, String> = BTreeMap::new();
    graph.rewrite(|graph, mut original| {
        let Some(product) = original.output.first().and_then(|output| chosen.get(output.as_str())) else {
            return Ok(vec![original]);
        };
        let mut nodes = Vec::new();
        let input = &product.input;
        let activation = match activations.get(input) {
            Some(known) => known.clone(),
            None => {
                let scale = graph.floats(format!("{input}.scale"), &[], &[ranges[input] / LEVELS]);
                let bytes = graph.fresh(format!("{input}.quantized"));
                let floats = graph.fresh(format!("{input}.restored"));
                nodes.push(node("QuantizeLinear", &bytes, &[input, &scale, &zero]));
                nodes.push(node("DequantizeLinear", &floats, &[&bytes, &scale, &zero]));
                activations.insert(input.clone(), floats.clone());
                floats
            }
        };
        let weight = match weights.get(&product.weight) {
            Some(known) => known.clone(),
            None => {
                let quantized = QuantizedWeight::new(&graph.weight(&product.weight)?, 1, bits)?;
                let floats = restore(graph, &quantized, &mut nodes);
                weights.insert(product.weight.clone(), floats.clone());
                floats
            }
        };
        original.input = vec![activation, weight];
        nodes.push(original);
        Ok(nodes)
    })
}

/// Adds a quantized weight and the node that makes floats of it; returns the floats' name. The zeros are written out: ONNX
/// Runtime adds a single one where it changes signed weights to unsigned ones, and then asks for one a channel.
pub(crate) fn restore(graph: &mut OnnxGraph, weight: &QuantizedWeight, nodes: &mut Vec<NodeProto>) -> String {
    let [bytes, scales] = store(graph, weight);
    let count = weight.scales.len();
    let zeros = graph.constant(format!("{}.zeros", weight.name), DataType::Int8, &[count], vec![0; count]);
    let floats = graph.fresh(format!("{}.restored", weight.name));
    let axis = [("axis", weight.axis as i64)];
    nodes.push(node_with("DequantizeLinear", &floats, &[&bytes, &scales, &zeros], &axis));
    floats
}
