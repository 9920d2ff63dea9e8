//! Half precision where it is safe: weights, products and what stands between them. Normalizations, exponentials, masks and the
//! maps that outputs come from stay in single precision, and so do inputs and outputs, so that clients need not change.

use std::collections::{BTreeMap, BTreeSet};

use half::f16;

use super::{compact, name_nodes};
use crate::graph::{Binary, DType, Graph, Node, Op, Unary, ValueId, Weight};

/// Rewrites a graph to compute in half precision.
///
/// Products, convolutions, tables, GELU and other activations run in half precision, with their weights stored so. Softmax,
/// LayerNorm, sums over axes, exponentials, roots and powers run in single precision, as does what is made of integers (masks)
/// and the linear map in front of each output. Arithmetic and data movement follow their operands, and run in single
/// precision where these differ: a residual sum is as exact as the LayerNorm it comes from. A weight with a value
/// beyond half precision (65504) keeps its product in single precision, and `keep` names further nodes that do.
pub fn to_half(graph: &mut Graph, keep: impl Fn(&Node) -> bool) {
    let plan = Plan::of(graph, keep);
    Rewrite { plan, casts: BTreeMap::new(), halves: BTreeMap::new(), nodes: Vec::new() }.run(graph);
    compact(graph);
    name_nodes(graph);
}

/// How an operation takes to half precision.
#[derive(PartialEq)]
enum Kind {
    /// Gains by it.
    Gains,
    /// Loses too much.
    Loses,
    /// Does as its operands do.
    Follows,
}

/// An operation that is not named here runs in single precision, until someone judged it.
fn kind(op: &Op) -> Kind {
    match op {
        Op::MatMul
        | Op::Conv { .. }
        | Op::Gelu
        | Op::LeakyRelu { .. }
        | Op::Unary(Unary::Relu | Unary::Sigmoid | Unary::Tanh) => Kind::Gains,
        Op::Unary(Unary::Abs | Unary::Neg | Unary::Sign)
        | Op::Binary(
            Binary::Add
            | Binary::Sub
            | Binary::Mul
            | Binary::Div
            | Binary::Max
            | Binary::Min
            | Binary::Equal
            | Binary::Greater
            | Binary::GreaterOrEqual
            | Binary::Less
            | Binary::LessOrEqual,
        )
        | Op::Where
        | Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::Expand { .. }
        | Op::Tile { .. }
        | Op::Slice { .. }
        | Op::Concat { .. }
        | Op::Gather { .. }
        | Op::GatherElements { .. } => Kind::Follows,
        _ => Kind::Loses,
    }
}

/// Which nodes run in half precision.
struct Plan {
    half: Vec<bool>,
}

impl Plan {
    fn of(graph: &Graph, keep: impl Fn(&Node) -> bool) -> Self {
        let producers = graph.producers();
        let single = before_outputs(graph, &producers);
        let too_large: BTreeSet<ValueId> =
            graph.weights.iter().filter(|(_, weight)| !fits(weight)).map(|(id, _)| *id).collect();
        let mut half = vec![false; graph.nodes.len()];
        for (index, node) in graph.nodes.iter().enumerate() {
            let floats = || node.inputs.iter().filter(|id| graph.value(**id).dtype == DType::F32);
            if keep(node)
                || single.contains(&index)
                || floats().next().is_none()
                || floats().any(|id| too_large.contains(id))
            {
                continue;
            }
            half[index] = match kind(&node.op) {
                Kind::Gains => true,
                Kind::Loses => false,
                Kind::Follows => {
                    let mut computed = floats().filter(|id| !graph.weights.contains_key(id)).peekable();
                    if computed.peek().is_some() {
                        computed.all(|id| producers.get(id).is_some_and(|&producer| half[producer]))
                    } else {
                        // Small constants have nothing to gain; a table or a learned vector has.
                        floats().all(|id| !graph.weights[id].is_inline())
                    }
                }
            };
        }
        Self { half }
    }
}

/// The nodes between each output and the linear map or convolution that it comes from, that one included. Behind an
/// operation that runs in single precision anyway nothing is gained.
fn before_outputs(graph: &Graph, producers: &BTreeMap<ValueId, usize>) -> BTreeSet<usize> {
    let mut single = BTreeSet::new();
    let mut open: Vec<ValueId> = graph.outputs.iter().map(|(_, id)| *id).collect();
    while let Some(id) = open.pop() {
        let Some(&index) = producers.get(&id) else { continue };
        let node = &graph.nodes[index];
        let stop = matches!(node.op, Op::MatMul | Op::Conv { .. }) || kind(&node.op) == Kind::Loses;
        if single.insert(index) && !stop {
            open.extend(&node.inputs);
        }
    }
    single
}

/// Whether every value of a float weight is finite in half precision.
fn fits(weight: &Weight) -> bool {
    weight.dtype != DType::F32 || singles(&weight.bytes()).all(|value| f16::from_f32(value).is_finite())
}

fn singles(bytes: &[u8]) -> impl Iterator<Item = f32> + '_ {
    bytes.as_chunks::<4>().0.iter().map(|chunk| f32::from_le_bytes(*chunk))
}

fn halved(bytes: &[u8]) -> Vec<u8> {
    singles(bytes).flat_map(|value| f16::from_f32(value).to_le_bytes()).collect()
}

struct Rewrite {
    plan: Plan,
    /// Values in their other precision.
    casts: BTreeMap<ValueId, ValueId>,
    /// Weights in half precision.
    halves: BTreeMap<ValueId, ValueId>,
    nodes: Vec<Node>,
}

impl Rewrite {
    fn run(mut self, graph: &mut Graph) {
        for (index, mut node) in std::mem::take(&mut graph.nodes).into_iter().enumerate() {
            let half = self.plan.half[index];
            for id in &mut node.inputs {
                *id = self.operand(graph, *id, half);
            }
            if half && graph.value(node.output).dtype == DType::F32 {
                graph.value_mut(node.output).dtype = DType::F16;
            }
            self.nodes.push(node);
        }
        let mut outputs = std::mem::take(&mut graph.outputs);
        for (_, id) in &mut outputs {
            *id = self.operand(graph, *id, false);
        }
        graph.outputs = outputs;
        graph.nodes = self.nodes;
    }

    /// A value in the precision that its reader runs in.
    fn operand(&mut self, graph: &mut Graph, id: ValueId, half: bool) -> ValueId {
        let wanted = if half { DType::F16 } else { DType::F32 };
        let dtype = graph.value(id).dtype;
        if dtype == wanted || !matches!(dtype, DType::F32 | DType::F16) {
            return id;
        }
        if let Some(weight) = graph.weights.get(&id) {
            let weight = half_weight(weight);
            return *self.halves.entry(id).or_insert_with(|| graph.add_weight(weight));
        }
        if let Some(&known) = self.casts.get(&id) {
            return known;
        }
        let output = graph.add_value(wanted, graph.shape(id).to_vec());
        self.nodes.push(Node { name: String::new(), op: Op::Cast, inputs: vec![id], output });
        self.casts.insert(id, output);
        output
    }
}

/// The weight in half precision, under its name; a parameter is still read only when the graph is written.
fn half_weight(weight: &Weight) -> Weight {
    let (name, shape) = (weight.name.clone(), weight.shape.clone());
    if weight.is_inline() {
        return Weight::inline(name, DType::F16, shape, halved(&weight.bytes()));
    }
    let single = weight.clone();
    Weight::deferred(name, DType::F16, shape, move || halved(&single.bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dims::Dim;

    fn parameter(graph: &mut Graph, name: &str, shape: &[usize], value: f32) -> ValueId {
        let count: usize = shape.iter().product();
        let read = move || value.to_le_bytes().repeat(count);
        graph.add_weight(Weight::deferred(name, DType::F32, shape.to_vec(), read))
    }

    fn push(graph: &mut Graph, op: Op, inputs: &[ValueId]) -> ValueId {
        let output = graph.add_value(DType::F32, vec![Dim::symbol(0), Dim::from(4usize)]);
        graph.nodes.push(Node { name: String::new(), op, inputs: inputs.to_vec(), output });
        output
    }

    /// `softmax(x . a + mask) . b + normed x`, through one more linear map; mask is made of integers.
    fn attention_like(a: f32) -> Graph {
        let mut graph = Graph::over(vec!["batch".into()]);
        let shape = || vec![Dim::symbol(0), Dim::from(4usize)];
        let (x, mask) = (graph.add_value(DType::F32, shape()), graph.add_value(DType::I64, shape()));
        graph.inputs = vec![("x".into(), x), ("mask".into(), mask)];
        let [a, b, last] = [("attention.query", a), ("attention.output", 1.0), ("head", 1.0)]
            .map(|(module, value)| parameter(&mut graph, &format!("{module}.weight"), &[4, 4], value));
        let scale = parameter(&mut graph, "norm.weight", &[4], 1.0);
        let far = graph.add_weight(Weight::inline("far", DType::F32, vec![], (-1e4f32).to_le_bytes().to_vec()));
        let normed = push(&mut graph, Op::LayerNorm { epsilon: 1e-5 }, &[x, scale]);
        let scores = push(&mut graph, Op::MatMul, &[normed, a]);
        let mask = push(&mut graph, Op::Cast, &[mask]);
        let mask = push(&mut graph, Op::Binary(Binary::Mul), &[mask, far]);
        let masked = push(&mut graph, Op::Binary(Binary::Add), &[scores, mask]);
        let probabilities = push(&mut graph, Op::Softmax { axis: 1 }, &[masked]);
        let mixed = push(&mut graph, Op::MatMul, &[probabilities, b]);
        let residual = push(&mut graph, Op::Binary(Binary::Add), &[mixed, normed]);
        let logits = push(&mut graph, Op::MatMul, &[residual, last]);
        graph.outputs = vec![("logits".into(), logits)];
        graph
    }

    fn told(graph: &Graph) -> Vec<String> {
        graph.nodes.iter().map(|node| format!("{} {}", node.name, graph.value(node.output).dtype.name())).collect()
    }

    #[test]
    fn products_are_halved_and_what_must_be_exact_is_not() {
        let mut graph = attention_like(1.0);
        to_half(&mut graph, |_| false);
        assert_eq!(
            told(&graph),
            [
                "norm float32",
                "cast float16",
                "attention.query.matmul float16",
                "attention.cast float32",
                "attention.mul float32",
                "attention.cast_1 float32",
                "attention.add float32",
                "attention.softmax float32",
                "attention.cast_2 float16",
                "attention.output.matmul float16",
                "cast_1 float32",
                "add float32",
                "head.matmul float32",
            ],
            "{graph}"
        );
        let weights: Vec<String> =
            graph.weights.values().map(|weight| format!("{} {}", weight.name, weight.dtype.name())).collect();
        assert_eq!(
            weights,
            [
                "norm.weight float32",
                "attention.query.weight float16",
                "attention.mul.constant float32",
                "attention.output.weight float16",
                "head.weight float32",
            ]
        );
        let query = graph.weights.values().find(|weight| weight.name == "attention.query.weight").unwrap();
        assert_eq!(query.bytes(), f16::ONE.to_le_bytes().repeat(16));
    }

    #[test]
    fn a_weight_beyond_half_precision_keeps_its_product_single() {
        let mut graph = attention_like(65_520.0);
        to_half(&mut graph, |_| false);
        let product = told(&graph).into_iter().find(|line| line.starts_with("attention.query")).unwrap();
        assert_eq!(product, "attention.query.matmul float32");
    }

    #[test]
    fn what_the_caller_keeps_stays_single_and_the_rest_does_not() {
        let mut graph = attention_like(1.0);
        name_nodes(&mut graph);
        to_half(&mut graph, |node| node.name.starts_with("attention.query"));
        let lines = told(&graph);
        let products: Vec<&String> =
            lines.iter().filter(|line| line.contains("attention.") && line.contains("matmul")).collect();
        assert_eq!(products, ["attention.query.matmul float32", "attention.output.matmul float16"]);
    }
}
