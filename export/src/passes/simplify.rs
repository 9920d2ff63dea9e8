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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dims::Dim;
    use crate::graph::{DType, Node, ValueId};

    fn push(graph: &mut Graph, op: Op, input: ValueId, shape: Vec<Dim>) -> ValueId {
        let output = graph.add_value(DType::F32, shape);
        graph.nodes.push(Node { name: String::new(), op, inputs: vec![input], output });
        output
    }

    #[test]
    fn what_undoes_itself_goes_and_what_does_not_stays() {
        let mut graph = Graph::over(vec!["batch".into()]);
        let (batch, four) = (Dim::symbol(0), Dim::from(4usize));
        let x = graph.add_value(DType::F32, vec![batch.clone(), four.clone()]);
        graph.inputs.push(("x".into(), x));
        let turned = push(&mut graph, Op::Transpose { perm: vec![1, 0] }, x, vec![four.clone(), batch.clone()]);
        let back = push(&mut graph, Op::Transpose { perm: vec![1, 0] }, turned, vec![batch.clone(), four.clone()]);
        let flat = (&batch * &four).unwrap();
        let line = push(&mut graph, Op::Reshape { shape: vec![flat.clone()] }, back, vec![flat]);
        let two_rows = vec![Dim::from(2usize), (&batch * &Dim::from(2usize)).unwrap()];
        let out = push(&mut graph, Op::Reshape { shape: two_rows.clone() }, line, two_rows);
        graph.outputs.push(("y".into(), out));
        for _ in 0..2 {
            simplify(&mut graph);
            crate::passes::remove_dead(&mut graph);
        }
        let ops: Vec<String> = graph.nodes.iter().map(|node| node.op.label()).collect();
        assert_eq!(ops, ["reshape"], "{graph}");
        assert_eq!(graph.nodes[0].inputs, [x]);
    }
}
