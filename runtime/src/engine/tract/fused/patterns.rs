//! What a graph holds that operators of our own stand for, as the exporter and `mbsd calibrate` write it.

use std::collections::{BTreeMap, BTreeSet};

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

use super::eight_bit::{LEVELS, SMALLEST};
use super::{ATTENTION, CAST, DIVISOR, EPSILON, HEADS, ONE_WAY_ATTENTION, QUANTIZE, SCALE};

/// What is where in a graph.
pub(super) struct Known<'a> {
    nodes: &'a [NodeProto],
    producers: BTreeMap<&'a str, usize>,
    readers: BTreeMap<&'a str, Vec<usize>>,
    outputs: BTreeSet<&'a str>,
    constants: BTreeMap<&'a str, &'a TensorProto>,
}

impl<'a> Known<'a> {
    pub(super) fn new(graph: &'a GraphProto) -> Self {
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

    /// The node of an operator that computes a value, and its operands. A value of a half-precision graph may have been cast
    /// to and fro behind that node.
    fn node<const N: usize>(&self, op: &str, value: &str) -> Option<(usize, [&'a str; N])> {
        let mut index = *self.producers.get(value)?;
        while op != CAST && is_cast_to_float(&self.nodes[index]) {
            index = *self.producers.get(self.nodes[index].input.first()?.as_str())?;
        }
        let node = &self.nodes[index];
        let inputs: Vec<&str> = node.input.iter().map(String::as_str).collect();
        Some((index, inputs.try_into().ok().filter(|_| node.op_type == op && node.output.len() == 1)?))
    }

    fn is_number(&self, name: &str, number: f32) -> bool {
        self.number(name) == Some(number)
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

    /// A vector that cannot stand for one of another length.
    fn is_wide_vector(&self, name: &str) -> bool {
        self.is_vector(name) && self.constants[name].dims[0] > 1
    }

    /// Over the last axis, in single precision throughout, with a scale and a bias that are known, and nothing but the result read.
    pub(super) fn is_plain_layer_norm(&self, node: &NodeProto) -> bool {
        let attributes = node.attribute.iter().all(|attribute| match attribute.name.as_str() {
            "axis" => attribute.i == -1,
            "stash_type" => attribute.i == i64::from(DataType::Float as i32),
            EPSILON => true,
            _ => false,
        });
        let vectors = matches!(node.input.as_slice(), [_, scale, bias] if self.is_wide_vector(scale) && self.is_wide_vector(bias));
        attributes && vectors && node.output.len() == 1
    }

    /// The integers of a constant.
    fn integers(&self, name: &str) -> Option<Vec<i64>> {
        let tensor = self.constants.get(name).filter(|tensor| tensor.data_type == DataType::Int64 as i32)?;
        let (whole, rest) = tensor.raw_data.as_chunks::<8>();
        (rest.is_empty() && !whole.is_empty()).then(|| whole.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect())
    }

    fn number(&self, name: &str) -> Option<f32> {
        let tensor = self.constants.get(name).filter(|tensor| tensor.data_type == DataType::Float as i32)?;
        let bytes = tensor.raw_data.as_slice().try_into().ok().filter(|_| tensor.dims.is_empty())?;
        Some(f32::from_le_bytes(bytes))
    }

    /// What is transposed into a value, so.
    fn transposed<const N: usize>(&self, value: &str, perm: [i64; N]) -> Option<&'a str> {
        let (index, [from]) = self.node("Transpose", value)?;
        matches!(self.nodes[index].attribute.as_slice(), [attribute] if attribute.ints == perm).then_some(from)
    }

    /// What is split into heads `[batch, heads, tokens, width]`, or where keys are turned `[batch, heads, width, tokens]`; the tokens as the
    /// graph writes them, the heads, and their width.
    fn split(&self, value: &str, perm: [i64; 4]) -> Option<(&'a str, i64, [i64; 2])> {
        let (index, [from, shape]) = self.node("Reshape", self.transposed(value, perm)?)?;
        match *self.integers(shape)?.as_slice() {
            [0, tokens, heads, width] if self.nodes[index].attribute.is_empty() => Some((from, tokens, [heads, width])),
            _ => None,
        }
    }

    /// softmax(q k^T / d + mask) v of heads, split in front and put together again by a `Reshape`.
    pub(super) fn attention(&self, node: &NodeProto) -> Option<NodeProto> {
        const SPLIT: [i64; 4] = [0, 2, 1, 3];
        const TURNED: [i64; 4] = [0, 2, 3, 1];
        let [context, shape] = node.input.as_slice() else { return None };
        let [0, tokens, features] = *self.integers(shape)?.as_slice() else { return None };
        let (_, [weights, value]) = self.node("MatMul", self.transposed(context, SPLIT)?)?;
        let (softmax, [scores]) = self.node("Softmax", weights)?;
        let last = |axis: i64| axis == -1 || axis == 3;
        if !matches!(self.nodes[softmax].attribute.as_slice(), [axis] if last(axis.i)) || !node.attribute.is_empty() {
            return None;
        }
        let (scaled, mask) = match self.node("Add", scores) {
            Some((_, [scaled, mask])) => (scaled, Some(mask)),
            None => (scores, None),
        };
        let (_, [product, divisor]) = self.node("Div", scaled)?;
        let divisor = self.number(divisor)?;
        let (_, [query, key]) = self.node("MatMul", product)?;
        let (query, queries, heads) = self.split(query, SPLIT)?;
        let (key, _, of_key) = self.split(key, TURNED)?;
        let (value, _, of_value) = self.split(value, SPLIT)?;
        let joined = heads[0] >= 1 && (tokens, features) == (queries, heads[0] * heads[1]);
        if !joined || of_key != heads || of_value != heads {
            return None;
        }
        let inputs: Vec<&str> = [query, key, value].into_iter().chain(mask).collect();
        Some(of_heads(fused_node(ATTENTION, &node.name, &inputs, &node.output), heads[0], divisor))
    }

    /// What is split into tags and heads, and turned so; the heads, and their width. How many tags there are and how long they are, the
    /// graph may count itself.
    fn split_tags(&self, value: &str, perm: [i64; 5]) -> Option<(&'a str, [i64; 2])> {
        let (_, [from, shape]) = self.node("Reshape", self.transposed(value, perm)?)?;
        if let Some([_, _, _, heads, width]) = self.integers(shape).as_deref() {
            return Some((from, [*heads, *width]));
        }
        let (_, [_, _, _, heads, width]) = self.node("Concat", shape)?;
        let size = |name: &str| self.integers(name).filter(|sizes| sizes.len() == 1).map(|sizes| sizes[0]);
        Some((from, [size(heads)?, size(width)?]))
    }

    /// Scores of a product, with what is added to them where something is.
    fn scores(&self, value: &str) -> Option<([&'a str; 2], f32, Option<&'a str>)> {
        let (scaled, mask) = match self.node("Add", value) {
            Some((_, [scaled, mask])) => (scaled, Some(mask)),
            None => (value, None),
        };
        let (_, [product, divisor]) = self.node("Div", scaled)?;
        let (_, operands) = self.node("MatMul", product)?;
        Some((operands, self.number(divisor)?, mask))
    }

    /// softmax([q k^T | q' k'^T] / d + masks) [v; v'] of heads, `q` being all queries of a product's tags, `k` and `v` the product's, and
    /// `q'`, `k'` and `v'` those of each tag, put together again by a `Reshape`.
    pub(super) fn one_way_attention(&self, node: &NodeProto) -> Option<NodeProto> {
        const SPLIT: [i64; 4] = [0, 2, 1, 3];
        const TURNED: [i64; 4] = [0, 2, 3, 1];
        const TAGS: [i64; 5] = [0, 3, 1, 2, 4];
        const TAGS_TURNED: [i64; 5] = [0, 3, 1, 4, 2];
        let [gathered, shape] = node.input.as_slice() else { return None };
        let [0, _, features] = *self.integers(shape)?.as_slice() else { return None };
        let (_, [of_context, of_own]) = self.node("Add", self.transposed(gathered, SPLIT)?)?;
        let (_, [weights, value]) = self.node("MatMul", of_context)?;
        let (_, [own, _]) = self.node("Reshape", of_own)?;
        let (_, [own_weights, own_value]) = self.node("MatMul", own)?;
        let (_, [own_weights, _]) = self.node("Reshape", own_weights)?;
        let [(first, [softmax, ..]), (second, [other, ..])] =
            [self.node::<4>("Slice", weights)?, self.node::<4>("Slice", own_weights)?];
        // One softmax, cut once: what the first part ends with the second begins with.
        let (begin, end) = (&self.nodes[first].input, &self.nodes[second].input);
        let cut = self.integers(&begin[1]).as_deref() == Some(&[0])
            && begin[2] == end[1]
            && self.integers(&end[2]).is_some_and(|end| end[0] == i64::MAX)
            && [&begin[3], &end[3]].iter().all(|axes| self.integers(axes).as_deref() == Some(&[3]));
        let (index, [joined]) = self.node("Softmax", softmax)?;
        let last = |axis: i64| axis == -1 || axis == 3;
        let plain =
            matches!(self.nodes[index].attribute.as_slice(), [axis] if last(axis.i)) && node.attribute.is_empty();
        if softmax != other || !cut || !plain {
            return None;
        }
        let (index, [scores, own_scores]) = self.node("Concat", joined)?;
        if !matches!(self.nodes[index].attribute.as_slice(), [axis] if last(axis.i)) {
            return None;
        }
        let ([query, key], divisor, mask) = self.scores(scores)?;
        let (_, [own_scores, _]) = self.node("Reshape", own_scores)?;
        let ([own_query, own_key], own_divisor, own_mask) = self.scores(own_scores)?;
        let (_, [turned, _]) = self.node("Reshape", query)?;
        let (query, heads) = self.split_tags(own_query, TAGS)?;
        let (own_key, of_own_key) = self.split_tags(own_key, TAGS_TURNED)?;
        let (own_value, of_own_value) = self.split_tags(own_value, TAGS)?;
        let (key, _, of_key) = self.split(key, TURNED)?;
        let (value, _, of_value) = self.split(value, SPLIT)?;
        let all = [of_own_key, of_own_value, of_key, of_value];
        if turned != own_query || divisor != own_divisor || all.iter().any(|of| *of != heads) {
            return None;
        }
        if heads[0] < 1 || features != heads[0] * heads[1] {
            return None;
        }
        let inputs: Vec<&str> = [query, own_key, own_value, key, value, own_mask?].into_iter().chain(mask).collect();
        Some(of_heads(fused_node(ONE_WAY_ATTENTION, &node.name, &inputs, &node.output), heads[0], divisor))
    }

    /// `QuantizeLinear(x * (127 / m), 1, 0)` with `m = max(max x, -min x, 1e-30)` of each token, whose scale `m / 127` is
    /// computed as well: the node of the scale, and the operator for both.
    pub(super) fn quantization(&self, node: &NodeProto) -> Option<(usize, NodeProto)> {
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
        Some((scale, fused_node(QUANTIZE, &node.name, &[x], &outputs)))
    }

    fn over_last_axis(&self, node: usize) -> bool {
        self.nodes[node].attribute.iter().all(|attribute| match attribute.name.as_str() {
            "axes" => attribute.ints == [-1],
            "keepdims" => attribute.i == 1,
            _ => false,
        })
    }

    /// `float(product) * columns * scale`, and `+ bias` where that alone follows: the last node, and the operator.
    pub(super) fn scaling(&self, index: usize) -> Option<(usize, NodeProto)> {
        let node = &self.nodes[index];
        let [scaled, scale] = node.input.as_slice() else { return None };
        let (_, [floats, columns]) = self.node("Mul", scaled)?;
        let (_, [integers]) = self.node(CAST, floats)?;
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
            return Some((reader, fused_node(SCALE, &sum.name, &[integers, columns, scale, bias], &sum.output)));
        }
        Some((index, fused_node(SCALE, &node.name, &[integers, columns, scale], &node.output)))
    }

    /// A size through itself, as a float.
    fn is_one(&self, value: &str) -> bool {
        let quotient = self.node(CAST, value).and_then(|(_, [quotient])| self.node("Div", quotient));
        quotient.is_some_and(|(_, [a, b])| a == b && self.node::<1>("Shape", a).is_some())
    }
}

fn is_cast_to_float(node: &NodeProto) -> bool {
    let float = i64::from(DataType::Float as i32);
    node.op_type == CAST && node.attribute.iter().any(|attribute| attribute.name == "to" && attribute.i == float)
}

/// An operator over heads, with how many there are and what scores are divided by.
fn of_heads(operator: NodeProto, heads: i64, divisor: f32) -> NodeProto {
    let named = |name: &str| AttributeProto { name: name.to_owned(), ..AttributeProto::default() };
    let attribute = vec![AttributeProto { i: heads, ..named(HEADS) }, AttributeProto { f: divisor, ..named(DIVISOR) }];
    NodeProto { attribute, ..operator }
}

pub(super) fn fused_node(op: &str, name: &str, inputs: &[&str], outputs: &[String]) -> NodeProto {
    NodeProto {
        op_type: op.to_owned(),
        name: name.to_owned(),
        input: inputs.iter().map(|input| (*input).to_owned()).collect(),
        output: outputs.to_vec(),
        ..NodeProto::default()
    }
}
