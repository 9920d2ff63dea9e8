//! Equal things once: nodes that compute the same, weights with the same elements.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest, Sha256};

use super::fold::commutes;
use crate::graph::{Graph, ValueId};

/// Makes nodes with the same operation, operands and result type one.
pub fn share_nodes(graph: &mut Graph) {
    share_inline_weights(graph);
    let mut seen: HashMap<String, ValueId> = HashMap::new();
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let mut operands = node.inputs.clone();
        if commutes(&node.op) {
            operands.sort();
        }
        let key = format!("{:?} {operands:?} {:?}", node.op, graph.value(node.output));
        let output = node.output;
        match seen.get(&key) {
            Some(&first) => graph.replace_uses(output, first),
            None => {
                seen.insert(key, output);
            }
        }
    }
}

/// Small constants are compared by their bytes, so that nodes that read them can be found equal.
fn share_inline_weights(graph: &mut Graph) {
    let mut seen: HashMap<(Vec<usize>, crate::graph::DType, Vec<u8>), ValueId> = HashMap::new();
    let constants: Vec<ValueId> = graph.weights.iter().filter(|(_, w)| w.is_inline()).map(|(id, _)| *id).collect();
    for id in constants {
        let weight = &graph.weights[&id];
        match seen.get(&(weight.shape.clone(), weight.dtype, weight.bytes())) {
            Some(&first) => graph.replace_uses(id, first),
            None => {
                seen.insert((weight.shape.clone(), weight.dtype, weight.bytes()), id);
            }
        }
    }
}

/// Makes parameters that are read from the same place in the same shape one. What a module uses twice may have been reshaped for
/// one use, or for both, as the sizes have it.
pub fn share_sources(graph: &mut Graph) {
    let mut seen: HashMap<(usize, Vec<usize>), ValueId> = HashMap::new();
    let sources = graph.weights.iter().filter_map(|(id, weight)| Some((*id, (weight.source()?, weight.shape.clone()))));
    for (id, source) in sources.collect::<Vec<_>>() {
        let first = *seen.entry(source).or_insert(id);
        if first != id {
            graph.replace_uses(id, first);
        }
    }
}

/// Makes weights with the same type, shape and elements one, under the first name in graph order.
pub fn share_weights(graph: &mut Graph) {
    let mut sizes: BTreeMap<(Vec<usize>, crate::graph::DType), usize> = BTreeMap::new();
    for weight in graph.weights.values() {
        *sizes.entry((weight.shape.clone(), weight.dtype)).or_default() += 1;
    }
    let mut seen: HashMap<(Vec<usize>, [u8; 32]), ValueId> = HashMap::new();
    let ids: Vec<ValueId> = graph.weights.keys().copied().collect();
    for id in ids {
        let weight = &graph.weights[&id];
        let key = (weight.shape.clone(), weight.dtype);
        if sizes[&key] < 2 {
            continue;
        }
        let digest: [u8; 32] = Sha256::digest(weight.bytes()).into();
        match seen.get(&(key.0.clone(), digest)) {
            Some(&first) if graph.weights[&first].dtype == key.1 => graph.replace_uses(id, first),
            _ => {
                seen.insert((key.0, digest), id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dims::Dim;
    use crate::graph::{Binary, DType, Node, Op, Weight};

    fn tied(name: &str, value: f32) -> Weight {
        Weight::deferred(name, DType::F32, vec![2], move || [value; 2].iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    #[test]
    fn equal_weights_and_equal_sums_become_one() {
        let mut graph = Graph::default();
        let x = graph.add_value(DType::F32, vec![Dim::from(2usize)]);
        graph.inputs.push(("x".into(), x));
        let weights = [tied("a", 1.0), tied("b", 1.0), tied("c", 2.0)].map(|w| graph.add_weight(w));
        for (position, &weight) in weights.iter().enumerate() {
            let output = graph.add_value(DType::F32, vec![Dim::from(2usize)]);
            let inputs = if position == 1 { vec![weight, x] } else { vec![x, weight] };
            graph.nodes.push(Node { name: String::new(), op: Op::Binary(Binary::Add), inputs, output });
            graph.outputs.push((format!("y{position}"), output));
        }
        share_weights(&mut graph);
        share_nodes(&mut graph);
        crate::passes::compact(&mut graph);
        let names: Vec<&str> = graph.weights.values().map(|w| w.name.as_str()).collect();
        assert_eq!(names, ["a", "c"]);
        assert_eq!(graph.nodes.len(), 2, "{graph}");
        assert_eq!(graph.outputs[0].1, graph.outputs[1].1);
    }
}
