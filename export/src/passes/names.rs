//! Names after the module path.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::{Graph, Op};

/// Names every node, and every constant that is no parameter.
///
/// A node that reads a parameter is named after the module that owns it (`encoder.layer.3.attention.query`), with the
/// operation appended where several nodes read parameters of one module. A node without a parameter is named after the
/// innermost module around both its neighbours with parameters, in execution order (`encoder.layer.3.attention.softmax`).
pub fn name_nodes(graph: &mut Graph) {
    let owners: Vec<Option<String>> = graph
        .nodes
        .iter()
        .map(|node| {
            let parameter = node.inputs.iter().filter_map(|id| graph.weights.get(id)).find(|w| !w.is_inline())?;
            Some(owner(&parameter.name, &node.op))
        })
        .collect();
    let mut taken: BTreeSet<String> = graph.inputs.iter().chain(&graph.outputs).map(|(name, _)| name.clone()).collect();
    taken.extend(graph.weights.values().filter(|w| !w.is_inline()).map(|w| w.name.clone()));
    for index in 0..graph.nodes.len() {
        let label = graph.nodes[index].op.label();
        let name = match &owners[index] {
            Some(owner) if !taken.contains(owner) => owner.clone(),
            Some(owner) => join(owner, &label),
            None => {
                let before = owners[..index].iter().rev().flatten().next();
                let after = owners[index..].iter().flatten().next();
                let scope = match (before, after) {
                    (Some(a), Some(b)) => common(a, b),
                    (Some(a), None) => a.rsplit_once('.').map_or(String::new(), |(parent, _)| parent.to_owned()),
                    (None, Some(b)) => b.rsplit_once('.').map_or(String::new(), |(parent, _)| parent.to_owned()),
                    (None, None) => String::new(),
                };
                join(&scope, &label)
            }
        };
        let name = unique(name, &mut taken);
        graph.nodes[index].name = name;
    }
    name_constants(graph, &mut taken);
}

/// The module that owns a parameter; a product leaves the module's own name to the sum with the bias that follows.
fn owner(parameter: &str, op: &Op) -> String {
    let module = parameter.rsplit_once('.').map_or(parameter, |(module, _)| module);
    if *op == Op::MatMul { join(module, "matmul") } else { module.to_owned() }
}

fn join(scope: &str, label: &str) -> String {
    if scope.is_empty() { label.to_owned() } else { format!("{scope}.{label}") }
}

fn common(a: &str, b: &str) -> String {
    let shared = a.split('.').zip(b.split('.')).take_while(|(x, y)| x == y).count();
    a.split('.').take(shared).collect::<Vec<_>>().join(".")
}

fn unique(name: String, taken: &mut BTreeSet<String>) -> String {
    let free = if taken.contains(&name) {
        (1..).map(|n| format!("{name}_{n}")).find(|n| !taken.contains(n)).unwrap_or_default()
    } else {
        name
    };
    taken.insert(free.clone());
    free
}

fn name_constants(graph: &mut Graph, taken: &mut BTreeSet<String>) {
    let mut readers: BTreeMap<crate::graph::ValueId, String> = BTreeMap::new();
    for node in &graph.nodes {
        for id in &node.inputs {
            readers.entry(*id).or_insert_with(|| node.name.clone());
        }
    }
    let mut parameters: BTreeSet<String> = BTreeSet::new();
    for (id, weight) in &mut graph.weights {
        let name = if weight.is_inline() {
            unique(format!("{}.constant", readers.get(id).map_or("graph", |r| r.as_str())), taken)
        } else if parameters.contains(&weight.name) {
            unique(weight.name.clone(), taken)
        } else {
            weight.name.clone()
        };
        parameters.insert(name.clone());
        weight.name = name;
    }
}
