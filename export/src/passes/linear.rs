//! Puts back together what Burn takes apart: `Linear` is recorded as a product and a sum, for some shapes with its
//! rows flattened before and restored after. Both forms become a product with a rank-2 weight on the input as it is.

use crate::graph::{Binary, Graph, Op, ValueId};

/// Removes the flattening around products with a rank-2 weight.
pub fn restore_linear(graph: &mut Graph) {
    for index in 0..graph.nodes.len() {
        unflatten(graph, index);
    }
}

/// `reshape(matmul(reshape(x), w) [+ b])` -> `matmul(x, w) [+ b]`, where the outer reshape restores the leading
/// extents of `x`. `index` is the outer reshape.
fn unflatten(graph: &mut Graph, index: usize) -> Option<()> {
    let outer = &graph.nodes[index];
    if !matches!(outer.op, Op::Reshape { .. }) {
        return None;
    }
    let producers = graph.producers();
    let uses = graph.uses();
    let only_use = |id: ValueId| uses.get(&id) == Some(&1);
    let (restored, product_or_sum) = (outer.output, outer.inputs[0]);
    let mut at = *producers.get(&product_or_sum)?;
    let mut sum = None;
    if matches!(graph.nodes[at].op, Op::Binary(Binary::Add)) {
        let [product, bias] = graph.nodes[at].inputs[..] else { return None };
        let bias = graph.weights.get(&bias)?;
        if bias.shape.len() > 1 {
            return None;
        }
        sum = Some(at);
        at = *producers.get(&product)?;
    }
    let product = at;
    if graph.nodes[product].op != Op::MatMul {
        return None;
    }
    let [flat, weight] = graph.nodes[product].inputs[..] else { return None };
    if graph.weights.get(&weight)?.shape.len() != 2 {
        return None;
    }
    let flatten = *producers.get(&flat)?;
    if !matches!(graph.nodes[flatten].op, Op::Reshape { .. }) || graph.shape(flat).len() != 2 {
        return None;
    }
    let x = graph.nodes[flatten].inputs[0];
    let (before, after) = (graph.shape(x), graph.shape(restored));
    let leading = before.len().checked_sub(1)?;
    let restores = before.len() == after.len()
        && before[..leading] == after[..leading]
        && before[leading] == graph.shape(flat)[1]
        && after[leading] == graph.shape(product_or_sum)[1];
    if !restores || !only_use(product_or_sum) || !only_use(graph.nodes[product].output) {
        return None;
    }
    let shape = after.to_vec();
    graph.nodes[product].inputs[0] = x;
    let product_value = graph.nodes[product].output;
    graph.value_mut(product_value).shape = shape.clone();
    if let Some(sum) = sum {
        let sum_value = graph.nodes[sum].output;
        graph.value_mut(sum_value).shape = shape;
    }
    graph.replace_uses(restored, product_or_sum);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dims::Dim;
    use crate::graph::{DType, Node, Weight};

    fn weight(graph: &mut Graph, shape: &[usize]) -> ValueId {
        let bytes = vec![0; shape.iter().product::<usize>() * 4];
        graph.add_weight(Weight::inline("w", DType::F32, shape.to_vec(), bytes))
    }

    fn push(graph: &mut Graph, op: Op, inputs: &[ValueId], shape: &[usize]) -> ValueId {
        let output = graph.add_value(DType::F32, shape.iter().map(|&d| Dim::from(d)).collect());
        graph.nodes.push(Node { name: String::new(), op, inputs: inputs.to_vec(), output });
        output
    }

    fn reshape(graph: &mut Graph, x: ValueId, shape: &[usize]) -> ValueId {
        let target = shape.iter().map(|&d| Dim::from(d)).collect();
        push(graph, Op::Reshape { shape: target }, &[x], shape)
    }

    /// `Linear` from 4 to 6 over `[2, 3, 4]`, rows flattened, restored to `restored`.
    fn flattened(restored: &[usize]) -> Graph {
        let mut graph = Graph::default();
        let x = graph.add_value(DType::F32, [2usize, 3, 4].map(Dim::from).to_vec());
        graph.inputs.push(("x".into(), x));
        let (w, b) = (weight(&mut graph, &[4, 6]), weight(&mut graph, &[6]));
        let flat = reshape(&mut graph, x, &[6, 4]);
        let product = push(&mut graph, Op::MatMul, &[flat, w], &[6, 6]);
        let sum = push(&mut graph, Op::Binary(Binary::Add), &[product, b], &[6, 6]);
        let out = reshape(&mut graph, sum, restored);
        graph.outputs.push(("y".into(), out));
        graph
    }

    #[test]
    fn flattened_rows_are_put_back() {
        let mut graph = flattened(&[2, 3, 6]);
        restore_linear(&mut graph);
        crate::passes::compact(&mut graph);
        let ops: Vec<String> = graph.nodes.iter().map(|node| node.op.label()).collect();
        assert_eq!(ops, ["matmul", "add"], "{graph}");
        assert_eq!(graph.shape(graph.outputs[0].1), [2usize, 3, 6].map(Dim::from));
    }

    #[test]
    fn a_reshape_to_something_else_stays() {
        let mut graph = flattened(&[3, 2, 6]);
        restore_linear(&mut graph);
        crate::passes::compact(&mut graph);
        assert_eq!(graph.nodes.len(), 4, "{graph}");
    }
}
