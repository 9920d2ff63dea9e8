//! Removes operations that change nothing and merges neighbours that undo each other.

use crate::graph::{Graph, Op};

/// Removes reshapes, casts, expansions, slices and permutations that return their input, and merges a reshape of a
/// reshape and a permutation of a permutation.
pub fn simplify(graph: &mut Graph) {
    for index in 0..graph.nodes.len() {
        merge(graph, index);
        if changes_nothing(graph, index) {
            let node = &graph.nodes[index];
            let (from, to) = (node.output, node.inputs[0]);
            graph.replace_uses(from, to);
        }
    }
}

fn changes_nothing(graph: &Graph, index: usize) -> bool {
    let node = &graph.nodes[index];
    let Some(&input) = node.inputs.first() else { return false };
    let same_shape = graph.shape(input) == graph.shape(node.output);
    match &node.op {
        Op::Reshape { .. } | Op::Expand { .. } => same_shape,
        Op::Slice { ranges } => same_shape && ranges.iter().all(|r| r.step == 1),
        Op::Cast => graph.value(input).dtype == graph.value(node.output).dtype,
        Op::Tile { times, .. } => times.fixed() == Some(1),
        Op::Transpose { perm } => perm.iter().copied().eq(0..perm.len()),
        Op::Concat { .. } => node.inputs.len() == 1,
        _ => false,
    }
}

/// Reads through an equal kind of operation in front.
fn merge(graph: &mut Graph, index: usize) {
    let node = &graph.nodes[index];
    let Some(inner) = node.inputs.first().and_then(|id| graph.nodes.iter().position(|n| n.output == *id)) else {
        return;
    };
    let inner = &graph.nodes[inner];
    let (op, source) = match (&inner.op, &node.op) {
        (Op::Reshape { .. }, Op::Reshape { shape }) => (Op::Reshape { shape: shape.clone() }, inner.inputs[0]),
        (Op::Transpose { perm: first }, Op::Transpose { perm: second }) => {
            (Op::Transpose { perm: second.iter().map(|&axis| first[axis]).collect() }, inner.inputs[0])
        }
        _ => return,
    };
    graph.nodes[index].op = op;
    graph.nodes[index].inputs[0] = source;
}
