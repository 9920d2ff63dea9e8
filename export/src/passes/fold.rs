//! Shape operations on weights, done once at compile time.

use crate::graph::{Binary, DType, Graph, Node, Op, ValueId, Weight};

/// Replaces a reshape of a weight by a weight, and takes extents of 1 in front off weights where broadcasting puts
/// them back.
pub fn fold_reshapes(graph: &mut Graph) {
    for index in 0..graph.nodes.len() {
        replace(graph, index, reshaped);
        squeeze_operands(graph, index);
    }
}

/// Replaces a slice of leading rows of a weight by a weight. Only for solved graphs: in a single trace, a slice to a
/// named size looks fixed.
pub fn fold_slices(graph: &mut Graph) {
    for index in 0..graph.nodes.len() {
        replace(graph, index, sliced);
    }
}

/// Replaces whole numbers at equal distances by their numbers, where their count is fixed.
pub fn fold_ranges(graph: &mut Graph) {
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let Op::Range { start, end, step } = &node.op else { continue };
        let (Some(start), Some(end)) = (start.fixed(), end.fixed()) else { continue };
        let count = graph.shape(node.output)[0].fixed().unwrap_or_default();
        debug_assert_eq!(start + count * step, end);
        let bytes = (0..count).flat_map(|i| (start + i * step).to_le_bytes()).collect();
        let output = node.output;
        let value = graph.add_weight(Weight::inline("range", DType::I64, vec![count as usize], bytes));
        graph.replace_uses(output, value);
    }
}

fn replace(graph: &mut Graph, index: usize, fold: impl Fn(&Graph, &Node, &Weight) -> Option<Weight>) {
    let node = &graph.nodes[index];
    let weight = node.inputs.first().and_then(|id| graph.weights.get(id));
    if let Some(folded) = weight.and_then(|weight| fold(graph, node, weight)) {
        let output = node.output;
        let value = graph.add_weight(folded);
        graph.replace_uses(output, value);
    }
}

fn reshaped(graph: &Graph, node: &Node, weight: &Weight) -> Option<Weight> {
    let Op::Reshape { .. } = node.op else { return None };
    let shape: Option<Vec<usize>> = graph.shape(node.output).iter().map(|d| d.fixed().map(|d| d as usize)).collect();
    Some(weight.reshaped(shape?))
}

fn sliced(_: &Graph, node: &Node, weight: &Weight) -> Option<Weight> {
    let Op::Slice { ranges } = &node.op else { return None };
    let mut leading = None;
    for range in ranges {
        let (start, end) = (range.start.fixed()? as usize, range.end.fixed()? as usize);
        let full = start == 0 && end == weight.shape[range.axis] && range.step == 1;
        match (full, range.axis) {
            (true, _) => {}
            (false, 0) if range.step == 1 => leading = Some((start, end)),
            _ => return None,
        }
    }
    let (start, end) = leading?;
    Some(rows(weight, start, end))
}

/// Rows `start..end` of the first axis.
fn rows(weight: &Weight, start: usize, end: usize) -> Weight {
    let mut shape = weight.shape.clone();
    let row = weight.byte_len() / shape[0].max(1);
    shape[0] = end - start;
    let name = format!("{}.{start}", weight.name);
    if weight.is_inline() {
        Weight::inline(name, weight.dtype, shape, weight.bytes()[start * row..end * row].to_vec())
    } else {
        let whole = weight.clone();
        Weight::deferred(name, weight.dtype, shape, move || whole.bytes()[start * row..end * row].to_vec())
    }
}

fn squeeze_operands(graph: &mut Graph, index: usize) {
    let node = &graph.nodes[index];
    let keep = match node.op {
        Op::MatMul => 2,
        Op::Binary(_) => 0,
        _ => return,
    };
    let operands = node.inputs.clone();
    for position in 0..operands.len() {
        if matches!(graph.nodes[index].op, Op::MatMul) && position == 0 {
            continue;
        }
        let id: ValueId = operands[position];
        let Some(weight) = graph.weights.get(&id) else { continue };
        let rank = weight.shape.len();
        let other_rank = operands
            .iter()
            .enumerate()
            .filter(|&(i, _)| i != position)
            .map(|(_, &other)| graph.shape(other).len())
            .max()
            .unwrap_or(0);
        let ones = weight.shape.iter().take_while(|&&d| d == 1).count().min(rank.saturating_sub(keep));
        if ones == 0 || other_rank < rank {
            continue;
        }
        let squeezed = weight.reshaped(weight.shape[ones..].to_vec());
        let value = graph.add_weight(squeezed);
        graph.nodes[index].inputs[position] = value;
    }
}

/// Whether an operand order may be exchanged.
pub(super) fn commutes(op: &Op) -> bool {
    matches!(
        op,
        Op::Binary(Binary::Add | Binary::Mul | Binary::And | Binary::Or | Binary::Equal | Binary::Max | Binary::Min)
    )
}
