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
