//! Extents in a file: constants where they are fixed, the engine's own short forms where those say it, and otherwise
//! computed from the shapes of the graph's inputs.

use super::emit::{Emitter, int_attribute};
use crate::dims::Dim;
use crate::graph::{Node, SliceRange};

impl Emitter<'_> {
    /// A vector with the given extents, constant where all are fixed.
    pub(super) fn sizes(&mut self, name: &str, dims: &[Dim]) -> String {
        let fixed: Option<Vec<i64>> = dims.iter().map(Dim::fixed).collect();
        if let Some(values) = fixed {
            return self.ints(&values);
        }
        let parts: Vec<String> = dims.iter().map(|dim| self.size(dim)).collect();
        if let [only] = parts.as_slice() {
            return only.clone();
        }
        let name = format!("{name}.shape");
        self.push("Concat", &name, parts, name.clone(), vec![int_attribute("axis", 0)])
    }

    /// A vector with one extent.
    fn size(&mut self, dim: &Dim) -> String {
        if let Some(value) = dim.fixed() {
            return self.ints(&[value]);
        }
        if let Some(known) = self.sizes.get(dim) {
            return known.clone();
        }
        let name = match dim.as_symbol() {
            Some(symbol) => self.symbol(symbol),
            None => self.polynomial(dim),
        };
        self.sizes.insert(dim.clone(), name.clone());
        name
    }

    /// A symbol's size, read off an input that has it as an axis.
    fn symbol(&mut self, symbol: usize) -> String {
        let graph = self.graph;
        let found = graph.inputs.iter().find_map(|(name, id)| {
            let axis = graph.shape(*id).iter().position(|dim| dim.as_symbol() == Some(symbol))?;
            Some((name.clone(), axis as i64))
        });
        let (input, axis) = found.expect("every symbol is an axis of an input");
        let name = format!("size.{}", graph.symbols[symbol]);
        let range = vec![int_attribute("end", axis + 1), int_attribute("start", axis)];
        self.push("Shape", &name, vec![input], name.clone(), range)
    }

    fn polynomial(&mut self, dim: &Dim) -> String {
        let text: String = dim.display(&self.graph.symbols).to_string().replace(' ', "");
        let mut sum: Option<String> = None;
        for (number, (coefficient, symbols)) in dim.terms().enumerate() {
            let mut product: Option<String> =
                (coefficient != 1 || symbols.is_empty()).then(|| self.ints(&[coefficient]));
            for symbol in symbols {
                let factor = self.size(&Dim::symbol(symbol));
                product = Some(match product {
                    None => factor,
                    Some(so_far) => {
                        let name = format!("size.{text}.mul_{number}_{symbol}");
                        self.push("Mul", &name, vec![so_far, factor], name.clone(), vec![])
                    }
                });
            }
            let term = product.unwrap_or_default();
            sum = Some(match sum {
                None => term,
                Some(so_far) => {
                    let name = format!("size.{text}.add_{number}");
                    self.push("Add", &name, vec![so_far, term], name.clone(), vec![])
                }
            });
        }
        sum.unwrap_or_default()
    }

    /// 0 copies an extent of the input, -1 stands for one that follows from the rest: with those most reshapes need no
    /// computed sizes.
    pub(super) fn reshape_target(&mut self, node: &Node, shape: &[Dim]) -> String {
        let before = self.graph.shape(node.inputs[0]);
        let mut target = Vec::with_capacity(shape.len());
        let mut open = 0;
        for (axis, dim) in shape.iter().enumerate() {
            match dim.fixed() {
                Some(0) => return self.sizes(&node.name, shape),
                Some(value) => target.push(value),
                None if before.get(axis) == Some(dim) => target.push(0),
                None => {
                    open += 1;
                    target.push(-1);
                }
            }
        }
        if open > 1 { self.sizes(&node.name, shape) } else { self.ints(&target) }
    }

    /// An extent of 1 keeps what the input has.
    pub(super) fn expand_target(&mut self, node: &Node, shape: &[Dim]) -> String {
        let before = self.graph.shape(node.inputs[0]);
        let missing = shape.len() - before.len();
        let target: Vec<Dim> = shape
            .iter()
            .enumerate()
            .map(|(axis, dim)| {
                let kept = axis >= missing && before[axis - missing] == *dim;
                if kept { Dim::from(1usize) } else { dim.clone() }
            })
            .collect();
        self.sizes(&node.name, &target)
    }

    pub(super) fn slice(&mut self, node: &Node, input: &str, output: String, ranges: &[SliceRange]) {
        let before = self.graph.shape(node.inputs[0]);
        let cut: Vec<&SliceRange> =
            ranges.iter().filter(|r| !(r.start.fixed() == Some(0) && r.end == before[r.axis] && r.step == 1)).collect();
        let starts: Vec<Dim> = cut.iter().map(|r| r.start.clone()).collect();
        let ends: Vec<Dim> =
            cut.iter().map(|r| if r.end == before[r.axis] { Dim::from(i64::MAX) } else { r.end.clone() }).collect();
        let axes: Vec<i64> = cut.iter().map(|r| r.axis as i64).collect();
        let steps: Vec<i64> = cut.iter().map(|r| r.step).collect();
        let mut inputs = vec![
            input.to_owned(),
            self.sizes(&format!("{}.starts", node.name), &starts),
            self.sizes(&format!("{}.ends", node.name), &ends),
            self.ints(&axes),
        ];
        if steps.iter().any(|&s| s != 1) {
            inputs.push(self.ints(&steps));
        }
        self.push("Slice", &node.name, inputs, output, vec![]);
    }
}
