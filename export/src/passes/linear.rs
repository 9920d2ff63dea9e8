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
