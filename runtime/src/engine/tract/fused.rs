//! The arithmetic around products in one pass each, where tract would make a pass over the activations for every node.
//!
//! Patterns of the graph file become operators of our own. Two stand around 8-bit products: the quantization of activations per
//! token, and what turns the integers of a product into floats, with the bias where one follows. Both do the same operations in
//! the same order as the nodes they stand for, so results stay equal to the last bit. The others, in single precision, are
//! attention from the linear layers in front of it to the one behind it, softmax elsewhere, LayerNorm with the residual sum in front of
//! it, and ReLU.

mod attention;
mod eight_bit;
mod layer_norm;
mod one_way;
mod operator;
mod patterns;
mod relu;
mod rows;
mod softmax;

use std::collections::BTreeMap;

use tract_onnx::Onnx;
use tract_onnx::pb::{ModelProto, NodeProto};

use patterns::Known;

/// The operators' names in the rewritten graph.
const QUANTIZE: &str = "MbsdQuantizeTokens";
const SCALE: &str = "MbsdScaleProducts";
const LAYER_NORM: &str = "MbsdLayerNorm";
const ATTENTION: &str = "MbsdAttention";
const ONE_WAY_ATTENTION: &str = "MbsdOneWayAttention";
const SOFTMAX: &str = "MbsdSoftmax";
const CAST: &str = "Cast";

/// Attributes of [`ATTENTION`].
const HEADS: &str = "heads";
const DIVISOR: &str = "divisor";

/// The attribute of LayerNormalization, and its value where it is left out.
const EPSILON: &str = "epsilon";
const USUAL_EPSILON: f32 = 1e-5;

/// Teaches tract the operators.
pub(super) fn register(onnx: &mut Onnx) {
    onnx.op_register.insert(LAYER_NORM, |_, node| {
        let epsilon = node.attribute.iter().find(|attribute| attribute.name == EPSILON).map_or(USUAL_EPSILON, |a| a.f);
        Ok((layer_norm::layer_norm(epsilon), Vec::new()))
    });
    onnx.op_register.insert(ATTENTION, |_, node| {
        let (heads, divisor) = heads_of(node);
        Ok((attention::attention(heads, divisor, node.input.len() == 4), Vec::new()))
    });
    onnx.op_register.insert(ONE_WAY_ATTENTION, |_, node| {
        let (heads, divisor) = heads_of(node);
        Ok((one_way::one_way_attention(heads, divisor, node.input.len() == one_way::INPUTS), Vec::new()))
    });
    onnx.op_register.insert(SOFTMAX, |_, _| Ok((softmax::softmax(), Vec::new())));
    onnx.op_register.insert("Relu", |_, _| Ok((relu::relu(), Vec::new())));
    onnx.op_register.insert(QUANTIZE, |_, _| Ok((eight_bit::quantize_tokens(), Vec::new())));
    onnx.op_register.insert(SCALE, |_, node| Ok((eight_bit::scale_products(node.input.len() == 4), Vec::new())));
}

/// The heads of an attention, and what its scores are divided by.
fn heads_of(node: &NodeProto) -> (usize, f32) {
    let attribute = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name);
    (attribute(HEADS).map_or(1, |heads| heads.i as usize), attribute(DIVISOR).map_or(1.0, |divisor| divisor.f))
}

/// Puts the operators in the place of the patterns. What nothing reads any more tract leaves out by itself.
pub(super) fn fuse(model: &mut ModelProto) {
    let Some(graph) = model.graph.as_mut() else { return };
    let known = Known::new(graph);
    let mut instead: BTreeMap<usize, Option<NodeProto>> = BTreeMap::new();
    for (index, node) in graph.node.iter().enumerate() {
        match node.op_type.as_str() {
            "QuantizeLinear" => {
                let Some((scale, fused)) = known.quantization(node) else { continue };
                // Before the scale's first reader; the activations are there by then.
                instead.insert(scale, Some(fused));
                instead.insert(index, None);
            }
            "LayerNormalization" if known.is_plain_layer_norm(node) => {
                instead.insert(index, Some(NodeProto { op_type: LAYER_NORM.to_owned(), ..node.clone() }));
            }
            "Softmax" if matches!(node.attribute.as_slice(), [axis] if axis.name == "axis" && axis.i == -1) => {
                instead.insert(index, Some(NodeProto { op_type: SOFTMAX.to_owned(), ..node.clone() }));
            }
            "Reshape" => {
                let Some(fused) = known.attention(node).or_else(|| known.one_way_attention(node)) else { continue };
                instead.insert(index, Some(fused));
            }
            "Mul" => {
                let Some((last, fused)) = known.scaling(index) else { continue };
                instead.insert(index, None);
                instead.insert(last, Some(fused));
            }
            _ => {}
        }
    }
    let mut nodes = Vec::with_capacity(graph.node.len());
    for (index, node) in std::mem::take(&mut graph.node).into_iter().enumerate() {
        match instead.remove(&index) {
            Some(fused) => nodes.extend(fused),
            None => nodes.push(node),
        }
    }
    graph.node = nodes;
}

#[cfg(test)]
mod tests;
