//! Activations quantized per token at run time, weights per output.
//!
//! For each distinct input `x` of a product, once, with the largest magnitude `m` of each token (at least 1e-30, so that a
//! token of zeros stays one):
//!
//! ```text
//! q = QuantizeLinear(x * (127 / m), 1, 128)                       uint8, 1 to 255
//! y = float(MatMulInteger(q, W, 128)) * columns * (m / 127)       W int8 [inputs, outputs], columns float [outputs]
//! ```
//!
//! No calibration is needed, and a row's result does not depend on its batch mates. The operators are those of opset 17.
//!
//! Two things are written with an engine in mind. `columns` is multiplied by a 1 that only the run shows to be one (a size
//! of the batch through itself): ONNX Runtime then computes product, conversion and scaling in one kernel
//! (`MatMulIntegerToFloat`), which constants folded beforehand would keep it from. And the scale of a token is a quotient,
//! never a product: ONNX Runtime would take a product there for the other factor of that kernel, which must be one number.
//! The zero point is one constant for the whole graph; tract's loader changes it to signed activations.

use std::collections::BTreeMap;

use tract_onnx::pb::NodeProto;
use tract_onnx::pb::tensor_proto::DataType;

use crate::error::CalibError;
use crate::graph::{OnnxGraph, Product, node, node_with, reduce_last};
use crate::weights::{QuantizedWeight, WeightBits, store};

/// Steps of a token's range on each side of 0.
const LEVELS: f32 = 127.0;

/// The least magnitude that a scale is made of.
const SMALLEST: f32 = 1e-30;

/// The zero point of unsigned activations.
const ZERO_POINT: u8 = 128;

/// Computes the given products of the graph in 8 bits.
///
/// # Errors
/// If a weight cannot be read or holds a value that is not finite.
pub fn quantize(graph: &mut OnnxGraph, products: &[Product], bits: WeightBits) -> Result<(), CalibError> {
    let chosen: BTreeMap<&str, &Product> = products.iter().map(|product| (product.output.as_str(), product)).collect();
    if chosen.is_empty() {
        return Ok(());
    }
    let constants = Constants::new(graph);
    let mut activations: BTreeMap<String, Activation> = BTreeMap::new();
    let mut weights: BTreeMap<String, [String; 2]> = BTreeMap::new();
    let mut one: Option<String> = None;
    graph.rewrite(|graph, original| {
        let Some(product) = original.output.first().and_then(|output| chosen.get(output.as_str())) else {
            return Ok(vec![original]);
        };
        let mut nodes = Vec::new();
        let one = match &one {
            Some(one) => one.clone(),
            None => one.insert(runtime_one(graph, &mut nodes)).clone(),
        };
        let activation = match activations.get(&product.input) {
            Some(known) => known.clone(),
            None => {
                let activation = Activation::quantize(graph, &constants, &product.input, &mut nodes);
                activations.insert(product.input.clone(), activation.clone());
                activation
            }
        };
        let [weight, scales] = match weights.get(&product.weight) {
            Some(known) => known.clone(),
            None => {
                let quantized = QuantizedWeight::new(&graph.weight(&product.weight)?, 1, bits)?;
                let added = store(graph, &quantized);
                weights.insert(product.weight.clone(), added.clone());
                added
            }
        };
        let mut named = |suffix: &str| graph.fresh(format!("{}.{suffix}", product.name));
        let [integers, floats, columns, scaled] = ["integers", "floats", "columns", "scaled"].map(&mut named);
        nodes.push(node("MatMulInteger", &integers, &[&activation.bytes, &weight, &constants.zero_point]));
        nodes.push(node_with("Cast", &floats, &[&integers], &[("to", DataType::Float as i64)]));
        nodes.push(node("Mul", &columns, &[&one, &scales]));
        nodes.push(node("Mul", &scaled, &[&floats, &columns]));
        nodes.push(NodeProto {
            output: vec![product.output.clone()],
            ..node("Mul", &product.name, &[&scaled, &activation.scale])
        });
        Ok(nodes)
    })
}

/// A 1 that follows from the run alone.
fn runtime_one(graph: &mut OnnxGraph, nodes: &mut Vec<NodeProto>) -> String {
    let input = graph.graph().input.iter().find(|input| graph.initializer(&input.name).is_none());
    let input = input.map(|input| input.name.clone()).unwrap_or_default();
    let [size, ratio, one] = ["size", "ratio", "one"].map(|name| graph.fresh(format!("int8.{name}")));
    nodes.push(node_with("Shape", &size, &[&input], &[("start", 0), ("end", 1)]));
    nodes.push(node("Div", &ratio, &[&size, &size]));
    nodes.push(node_with("Cast", &one, &[&ratio], &[("to", DataType::Float as i64)]));
    one
}

/// Names of what all quantizations of a graph share.
struct Constants {
    zero_point: String,
    unit: String,
    levels: String,
    smallest: String,
}

impl Constants {
    fn new(graph: &mut OnnxGraph) -> Self {
        Self {
            zero_point: graph.constant("int8.zero_point".to_owned(), DataType::Uint8, &[], vec![ZERO_POINT]),
            unit: graph.floats("int8.unit".to_owned(), &[], &[1.0]),
            levels: graph.floats("int8.levels".to_owned(), &[], &[LEVELS]),
            smallest: graph.floats("int8.smallest".to_owned(), &[], &[SMALLEST]),
        }
    }
}

/// A quantized input: its bytes, and the scale of each token.
#[derive(Clone)]
struct Activation {
    bytes: String,
    scale: String,
}

impl Activation {
    fn quantize(graph: &mut OnnxGraph, constants: &Constants, input: &str, nodes: &mut Vec<NodeProto>) -> Self {
        let mut named = |suffix: &str| graph.fresh(format!("{input}.{suffix}"));
        let [largest, least, negated, either, magnitude] =
            ["largest", "least", "negated", "either", "magnitude"].map(&mut named);
        let [scale, inverse, scaled, bytes] = ["scale", "inverse", "scaled", "quantized"].map(&mut named);
        nodes.extend([
            reduce_last("ReduceMax", &largest, input),
            reduce_last("ReduceMin", &least, input),
            node("Neg", &negated, &[&least]),
            node("Max", &either, &[&largest, &negated]),
            node("Max", &magnitude, &[&either, &constants.smallest]),
            node("Div", &scale, &[&magnitude, &constants.levels]),
            node("Div", &inverse, &[&constants.levels, &magnitude]),
            node("Mul", &scaled, &[input, &inverse]),
            node("QuantizeLinear", &bytes, &[&scaled, &constants.unit, &constants.zero_point]),
        ]);
        Self { bytes, scale }
    }
}
