//! Operations about the order of elements along an axis, and counting.

use super::emit::{Emitter, int_attribute};
use crate::dims::Dim;
use crate::graph::{DType, Node, Op};

impl Emitter<'_> {
    pub(super) fn order(&mut self, node: &Node, inputs: Vec<String>, output: String) {
        match &node.op {
            Op::CumSum { axis } => {
                let axis = self.int(*axis as i64);
                self.push("CumSum", &node.name, vec![inputs[0].clone(), axis], output, vec![]);
            }
            Op::TopK { axis, k, largest, indices } => {
                if self.written.contains(&node.output) {
                    return;
                }
                let [values, places] = self.ordered_names(node, *indices, output);
                let k = self.sizes(&node.name, std::slice::from_ref(k));
                let attributes = vec![
                    int_attribute("axis", *axis as i64),
                    int_attribute("largest", i64::from(*largest)),
                    int_attribute("sorted", 1),
                ];
                self.push_all("TopK", &node.name, vec![inputs[0].clone(), k], vec![values, places], attributes);
            }
            Op::ArgReduce { axis, largest } => {
                let op_type = if *largest { "ArgMax" } else { "ArgMin" };
                let attributes = vec![int_attribute("axis", *axis as i64), int_attribute("keepdims", 1)];
                self.push(op_type, &node.name, inputs, output, attributes);
            }
            Op::Range { start, end, step } if *step > 0 => {
                let name = &node.name;
                let operands = vec![
                    self.single(&format!("{name}.start"), start),
                    self.single(&format!("{name}.end"), end),
                    self.int(*step),
                ];
                self.push("Range", name, operands, output, vec![]);
            }
            // tract counts upwards only.
            Op::Range { start, step, .. } => {
                let part = |label: &str| format!("{}.{label}", node.name);
                let count = self.graph.shape(node.output)[0].clone();
                let operands = vec![self.int(0), self.single(&part("count"), &count), self.int(1)];
                let upwards = self.push("Range", &part("upwards"), operands, part("upwards"), vec![]);
                let step = self.int(*step);
                let steps = self.push("Mul", &part("steps"), vec![upwards, step], part("steps"), vec![]);
                let start = self.single(&part("start"), start);
                self.push("Add", &node.name, vec![start, steps], output, vec![]);
            }
            _ => {}
        }
    }

    /// Names of values and indices of one `TopK`: the other half of the same is written with the first, under its own
    /// name, where the graph has it.
    fn ordered_names(&mut self, node: &Node, indices: bool, output: String) -> [String; 2] {
        let mut other_op = node.op.clone();
        if let Op::TopK { indices, .. } = &mut other_op {
            *indices = !*indices;
        }
        let graph = self.graph;
        let other = graph.nodes.iter().find(|n| n.op == other_op && n.inputs == node.inputs);
        let other = match other {
            Some(other) => {
                self.written.insert(other.output);
                self.name(other.output)
            }
            None => format!("{}.{}", node.name, if indices { "values" } else { "indices" }),
        };
        if indices { [other, output] } else { [output, other] }
    }

    /// A whole number as a constant of rank 0.
    pub(super) fn int(&mut self, value: i64) -> String {
        self.constant(format!("int.{value}"), DType::I64, Vec::new(), value.to_le_bytes().to_vec())
    }

    /// An extent as a number of rank 0.
    fn single(&mut self, name: &str, dim: &Dim) -> String {
        if let Some(value) = dim.fixed() {
            return self.int(value);
        }
        let vector = self.sizes(name, std::slice::from_ref(dim));
        let axis = self.ints(&[0]);
        self.push("Squeeze", name, vec![vector, axis], name.to_owned(), vec![])
    }
}
