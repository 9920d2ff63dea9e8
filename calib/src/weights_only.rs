//! 8-bit weights, single-precision arithmetic: a graph for small downloads.
//!
//! ```text
//! W' = DequantizeLinear(W, scales, axis)       products: a scale for each output; kernels: for each output channel
//! x' = float(Gather(T, ids)) * Gather(scales, ids)       tables: a scale for each row
//! ```
//!
//! Engines make the products' weights floats again when they load the graph, so it takes the memory and the time of the f32
//! graph.

use std::collections::{BTreeMap, BTreeSet};

use tract_onnx::pb::NodeProto;
use tract_onnx::pb::tensor_proto::DataType;

use crate::error::CalibError;
use crate::graph::{OnnxGraph, Product, node, node_with};
use crate::qdq::restore;
use crate::weights::{QuantizedWeight, WeightBits, store};

/// Tables of fewer rows stay as they are.
const TABLE_ROWS: i64 = 64;

/// Stores the weights of the given products, the convolution kernels and the large tables of the graph in 8 bits.
///
/// # Errors
/// If a weight cannot be read or holds a value that is not finite.
pub fn quantize(graph: &mut OnnxGraph, products: &[Product], bits: WeightBits) -> Result<(), CalibError> {
    let chosen: BTreeSet<&str> = products.iter().map(|product| product.output.as_str()).collect();
    let mut tables: BTreeMap<String, [String; 2]> = BTreeMap::new();
    let mut restored: BTreeMap<String, String> = BTreeMap::new();
    graph.rewrite(|graph, mut original| {
        let is_product = original.output.first().is_some_and(|output| chosen.contains(output.as_str()));
        let Some((axis, slot)) = place(graph, &original, is_product) else { return Ok(vec![original]) };
        let name = original.input[slot].clone();
        if original.op_type == "Gather" {
            let [weight, scales] = match tables.get(&name) {
                Some(names) => names.clone(),
                None => {
                    let names = store(graph, &QuantizedWeight::new(&graph.weight(&name)?, axis, bits)?);
                    tables.insert(name.clone(), names.clone());
                    names
                }
            };
            return Ok(gather(graph, original, &weight, &scales));
        }
        let mut nodes = Vec::new();
        let floats = match restored.get(&name) {
            Some(floats) => floats.clone(),
            None => {
                let floats = restore(graph, &QuantizedWeight::new(&graph.weight(&name)?, axis, bits)?, &mut nodes);
                restored.insert(name.clone(), floats.clone());
                floats
            }
        };
        original.input[slot] = floats;
        nodes.push(original);
        Ok(nodes)
    })
}

/// Which operand of a node is a weight to be stored in 8 bits, and which of its axes has the scales.
fn place(graph: &OnnxGraph, node: &NodeProto, is_product: bool) -> Option<(usize, usize)> {
    let (axis, slot) = match node.op_type.as_str() {
        "MatMul" if is_product => (1, 1),
        "Conv" => (0, 1),
        "Gather" if node.attribute.iter().all(|a| a.name != "axis" || a.i == 0) => (0, 0),
        _ => return None,
    };
    let weight = graph.initializer(node.input.get(slot)?)?;
    let large = node.op_type != "Gather" || (weight.dims.len() == 2 && weight.dims[0] >= TABLE_ROWS);
    (large && weight.data_type == DataType::Float as i32).then_some((axis, slot))
}

/// Rows of a quantized table. The scales are looked up as a column, so that they broadcast over the row.
fn gather(graph: &mut OnnxGraph, original: NodeProto, table: &str, scales: &str) -> Vec<NodeProto> {
    let mut named = |suffix: &str| graph.fresh(format!("{}.{suffix}", original.name));
    let [rows, floats, row_scales, columns] = ["rows", "floats", "row_scales", "columns"].map(&mut named);
    let axis = graph.constant(format!("{}.axis", original.name), DataType::Int64, &[1], (-1i64).to_le_bytes().to_vec());
    let ids = &original.input[1];
    vec![
        node_with("Gather", &rows, &[table, ids], &[("axis", 0)]),
        node_with("Cast", &floats, &[&rows], &[("to", DataType::Float as i64)]),
        node_with("Gather", &row_scales, &[scales, ids], &[("axis", 0)]),
        node("Unsqueeze", &columns, &[&row_scales, &axis]),
        NodeProto { output: original.output.clone(), ..node("Mul", &original.name, &[&floats, &columns]) },
    ]
}
