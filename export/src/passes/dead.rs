//! Removal of what no output needs, and renumbering.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::{Graph, ValueId};

/// Removes nodes and weights that no output depends on. Declared inputs stay.
pub fn remove_dead(graph: &mut Graph) {
    let mut needed: BTreeSet<ValueId> = graph.outputs.iter().map(|(_, id)| *id).collect();
    let mut keep = vec![false; graph.nodes.len()];
    for (node, keep) in graph.nodes.iter().zip(&mut keep).rev() {
        if needed.contains(&node.output) {
            *keep = true;
            needed.extend(&node.inputs);
        }
    }
    let mut flags = keep.into_iter();
    graph.nodes.retain(|_| flags.next().unwrap_or(false));
    graph.weights.retain(|id, _| needed.contains(id));
}

/// Removes what is dead and numbers values in the order of their first use, so that two graphs of one
/// structure are numbered alike.
pub fn compact(graph: &mut Graph) {
    remove_dead(graph);
    let mut order: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    let mut values = Vec::new();
    let used = graph
        .inputs
        .iter()
        .map(|(_, id)| *id)
        .chain(graph.nodes.iter().flat_map(|n| n.inputs.iter().copied().chain([n.output])))
        .chain(graph.outputs.iter().map(|(_, id)| *id));
    for id in used {
        order.entry(id).or_insert_with(|| {
            values.push(graph.value(id).clone());
            ValueId(values.len() - 1)
        });
    }
    let mut renumbered = Graph::over(std::mem::take(&mut graph.symbols));
    renumbered.inputs = std::mem::take(&mut graph.inputs);
    renumbered.outputs = std::mem::take(&mut graph.outputs);
    renumbered.nodes = std::mem::take(&mut graph.nodes);
    for value in values {
        renumbered.add_value(value.dtype, value.shape);
    }
    for (id, weight) in std::mem::take(&mut graph.weights) {
        renumbered.weights.insert(order[&id], weight);
    }
    for (_, id) in renumbered.inputs.iter_mut().chain(&mut renumbered.outputs) {
        *id = order[id];
    }
    for node in &mut renumbered.nodes {
        node.output = order[&node.output];
        for id in &mut node.inputs {
            *id = order[id];
        }
    }
    *graph = renumbered;
}
