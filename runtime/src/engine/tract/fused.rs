//! The arithmetic around 8-bit products in one pass each, where tract would make a pass over the activations for every node.
//!
//! Two patterns of the graph file become operators of our own: the quantization of activations per token, and what turns the
//! integers of a product into floats, with the bias where one follows. Both do the same operations in the same order as the
//! nodes they stand for, so results stay equal to the last bit.

mod ops;

use std::collections::{BTreeMap, BTreeSet};

use tract_onnx::Onnx;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};

use ops::{LEVELS, SMALLEST};

/// The operators' names in the rewritten graph.
const QUANTIZE: &str = "MbsdQuantizeTokens";
const SCALE: &str = "MbsdScaleProducts";

/// Teaches tract the operators.
pub(super) fn register(onnx: &mut Onnx) {
    onnx.op_register.insert(QUANTIZE, |_, _| Ok((ops::quantize_tokens(), Vec::new())));
    onnx.op_register.insert(SCALE, |_, node| Ok((ops::scale_products(node.input.len() == 4), Vec::new())));
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

/// What is where in a graph.
struct Known<'a> {
    nodes: &'a [NodeProto],
    producers: BTreeMap<&'a str, usize>,
    readers: BTreeMap<&'a str, Vec<usize>>,
    outputs: BTreeSet<&'a str>,
    constants: BTreeMap<&'a str, &'a TensorProto>,
}

impl<'a> Known<'a> {
    fn new(graph: &'a GraphProto) -> Self {
        let mut readers: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, node) in graph.node.iter().enumerate() {
            for input in &node.input {
                readers.entry(input).or_default().push(index);
            }
        }
        let outputs_of = |(index, node): (usize, &'a NodeProto)| node.output.iter().map(move |o| (o.as_str(), index));
        Self {
            nodes: &graph.node,
            producers: graph.node.iter().enumerate().flat_map(outputs_of).collect(),
            readers,
            outputs: graph.output.iter().map(|output| output.name.as_str()).collect(),
            constants: graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect(),
        }
    }

    /// The node of an operator that computes a value, and its operands.
    fn node<const N: usize>(&self, op: &str, value: &str) -> Option<(usize, [&'a str; N])> {
        let &index = self.producers.get(value)?;
        let node = &self.nodes[index];
        let inputs: Vec<&str> = node.input.iter().map(String::as_str).collect();
        Some((index, inputs.try_into().ok().filter(|_| node.op_type == op && node.output.len() == 1)?))
    }

    fn is_number(&self, name: &str, number: f32) -> bool {
        self.constants.get(name).is_some_and(|tensor| {
            tensor.data_type == DataType::Float as i32
                && tensor.dims.is_empty()
                && tensor.raw_data == number.to_le_bytes()
        })
    }

    fn is_signed_zero_point(&self, name: &str) -> bool {
        self.constants.get(name).is_some_and(|tensor| {
            tensor.data_type == DataType::Int8 as i32 && tensor.dims.is_empty() && tensor.raw_data == [0]
        })
    }

    fn is_vector(&self, name: &str) -> bool {
        let float = DataType::Float as i32;
        self.constants.get(name).is_some_and(|tensor| tensor.data_type == float && tensor.dims.len() == 1)
    }

    /// `QuantizeLinear(x * (127 / m), 1, 0)` with `m = max(max x, -min x, 1e-30)` of each token, whose scale `m / 127` is
    /// computed as well: the node of the scale, and the operator for both.
    fn quantization(&self, node: &NodeProto) -> Option<(usize, NodeProto)> {
        let [scaled, unit, zero] = node.input.as_slice() else { return None };
        if !self.is_number(unit, 1.0) || !self.is_signed_zero_point(zero) {
            return None;
        }
        let (_, [x, inverse]) = self.node("Mul", scaled)?;
        let (_, [levels, magnitude]) = self.node("Div", inverse)?;
        let (_, [either, smallest]) = self.node("Max", magnitude)?;
        let (_, [largest, negated]) = self.node("Max", either)?;
        let (_, [least]) = self.node("Neg", negated)?;
        let (max, [of_max]) = self.node("ReduceMax", largest)?;
        let (min, [of_min]) = self.node("ReduceMin", least)?;
        let same = of_max == x && of_min == x && self.over_last_axis(max) && self.over_last_axis(min);
        if !same || !self.is_number(levels, LEVELS) || !self.is_number(smallest, SMALLEST) {
            return None;
        }
        let &scale = self.readers.get(magnitude)?.iter().find(|&&reader| {
            let reader = &self.nodes[reader];
            reader.op_type == "Div" && reader.input == [magnitude, levels]
        })?;
        let outputs = [node.output.first()?.clone(), self.nodes[scale].output.first()?.clone()];
        Some((scale, operator(QUANTIZE, &node.name, &[x], &outputs)))
    }

    fn over_last_axis(&self, node: usize) -> bool {
        self.nodes[node].attribute.iter().all(|attribute| match attribute.name.as_str() {
            "axes" => attribute.ints == [-1],
            "keepdims" => attribute.i == 1,
            _ => false,
        })
    }

    /// `float(product) * columns * scale`, and `+ bias` where that alone follows: the last node, and the operator.
    fn scaling(&self, index: usize) -> Option<(usize, NodeProto)> {
        let node = &self.nodes[index];
        let [scaled, scale] = node.input.as_slice() else { return None };
        let (_, [floats, columns]) = self.node("Mul", scaled)?;
        let (_, [integers]) = self.node("Cast", floats)?;
        let (_, [_, _, _]) = self.node("MatMulInteger", integers)?;
        let columns = match self.node("Mul", columns) {
            Some((_, [one, columns])) if self.is_one(one) => columns,
            _ => columns,
        };
        // The scale of a token has extent 1 along the columns: it is a quotient of a maximum that kept its axis.
        let (_, [magnitude, _]) = self.node("Div", scale)?;
        self.node::<2>("Max", magnitude)?;
        if !self.is_vector(columns) {
            return None;
        }
        let output = node.output.first()?;
        let only_reader = match self.readers.get(output.as_str()).map(Vec::as_slice) {
            Some([reader]) if !self.outputs.contains(output.as_str()) => Some(*reader),
            _ => None,
        };
        if let Some(reader) = only_reader
            && let sum = &self.nodes[reader]
            && sum.op_type == "Add"
            && let [left, bias] = sum.input.as_slice()
            && left == output
            && self.is_vector(bias)
        {
            return Some((reader, operator(SCALE, &sum.name, &[integers, columns, scale, bias], &sum.output)));
        }
        Some((index, operator(SCALE, &node.name, &[integers, columns, scale], &node.output)))
    }

    /// A size through itself, as a float.
    fn is_one(&self, value: &str) -> bool {
        let quotient = self.node("Cast", value).and_then(|(_, [quotient])| self.node("Div", quotient));
        quotient.is_some_and(|(_, [a, b])| a == b && self.node::<1>("Shape", a).is_some())
    }
}

fn operator(op: &str, name: &str, inputs: &[&str], outputs: &[String]) -> NodeProto {
    NodeProto {
        op_type: op.to_owned(),
        name: name.to_owned(),
        input: inputs.iter().map(|input| (*input).to_owned()).collect(),
        output: outputs.to_vec(),
        ..NodeProto::default()
    }
}

#[cfg(test)]
mod tests;
