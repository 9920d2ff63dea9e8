//! The compiler's own graph: operations over values with symbolic extents, weights by content.
//!
//! It knows nothing of any particular model. [`crate::Compiler`] makes it, [`crate::passes`] rewrite
//! it, [`crate::onnx`] writes it.

mod op;
mod weight;
mod windows;

use std::collections::BTreeMap;
use std::fmt;

pub use op::{Binary, Op, Reduce, SliceRange, Unary};
pub use weight::Weight;
pub use windows::{AxisPads, Interpolation, Padding, Pool, Window};

use crate::dims::Dim;

/// A value of a [`Graph`]: an input, a weight, or what a node computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub(crate) usize);

/// The element type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DType {
    /// IEEE single precision.
    F32,
    /// IEEE half precision. [`crate::passes::to_half`] makes it; a capture has none.
    F16,
    /// 64-bit signed integers.
    I64,
    /// Truth values.
    Bool,
}

impl DType {
    /// Bytes an element takes in a file.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::I64 => 8,
            Self::Bool => 1,
        }
    }

    /// The name used in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::I64 => "int64",
            Self::Bool => "bool",
        }
    }
}

/// An operation with its operands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Unique name, after the module path.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Operands.
    pub inputs: Vec<ValueId>,
    /// The one result.
    pub output: ValueId,
}

/// Type and extents of a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Element type.
    pub dtype: DType,
    /// Extents.
    pub shape: Vec<Dim>,
}

/// A computation with named inputs, outputs and sizes.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// Names of the symbolic sizes, by number.
    pub symbols: Vec<String>,
    /// Inputs in order.
    pub inputs: Vec<(String, ValueId)>,
    /// Outputs in order.
    pub outputs: Vec<(String, ValueId)>,
    /// Operations in execution order.
    pub nodes: Vec<Node>,
    /// Constants by the value they define.
    pub weights: BTreeMap<ValueId, Weight>,
    values: Vec<Value>,
}

impl Graph {
    /// An empty graph over the named sizes.
    pub fn over(symbols: Vec<String>) -> Self {
        Self { symbols, ..Self::default() }
    }

    /// Adds a value.
    pub fn add_value(&mut self, dtype: DType, shape: Vec<Dim>) -> ValueId {
        self.values.push(Value { dtype, shape });
        ValueId(self.values.len() - 1)
    }

    /// Adds a constant.
    pub fn add_weight(&mut self, weight: Weight) -> ValueId {
        let shape = weight.shape.iter().map(|&d| Dim::from(d)).collect();
        let id = self.add_value(weight.dtype, shape);
        self.weights.insert(id, weight);
        id
    }

    /// Type and extents of a value.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// Type and extents of a value, to be changed.
    pub fn value_mut(&mut self, id: ValueId) -> &mut Value {
        &mut self.values[id.0]
    }

    /// Extents of a value.
    pub fn shape(&self, id: ValueId) -> &[Dim] {
        &self.values[id.0].shape
    }

    /// How many values there are, used or not.
    pub fn value_count(&self) -> usize {
        self.values.len()
    }

    /// Which node computes each value.
    pub fn producers(&self) -> BTreeMap<ValueId, usize> {
        self.nodes.iter().enumerate().map(|(i, node)| (node.output, i)).collect()
    }

    /// How often each value is read, by nodes or as an output.
    pub fn uses(&self) -> BTreeMap<ValueId, usize> {
        let mut uses = BTreeMap::new();
        for &id in self.nodes.iter().flat_map(|n| &n.inputs).chain(self.outputs.iter().map(|(_, id)| id)) {
            *uses.entry(id).or_insert(0) += 1;
        }
        uses
    }

    /// Makes every reader of `from` read `to`.
    pub fn replace_uses(&mut self, from: ValueId, to: ValueId) {
        for id in self.nodes.iter_mut().flat_map(|n| &mut n.inputs).chain(self.outputs.iter_mut().map(|(_, id)| id)) {
            if *id == from {
                *id = to;
            }
        }
    }

    /// Bytes of all constants.
    pub fn weight_bytes(&self) -> usize {
        self.weights.values().map(Weight::byte_len).sum()
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: BTreeMap<ValueId, &str> = BTreeMap::new();
        names.extend(self.inputs.iter().map(|(name, id)| (*id, name.as_str())));
        names.extend(self.weights.iter().map(|(id, w)| (*id, w.name.as_str())));
        names.extend(self.nodes.iter().map(|n| (n.output, n.name.as_str())));
        let shape = |id: ValueId| {
            let dims: Vec<String> = self.shape(id).iter().map(|d| d.display(&self.symbols).to_string()).collect();
            format!("{} [{}]", self.value(id).dtype.name(), dims.join(", "))
        };
        for (name, id) in &self.inputs {
            writeln!(f, "input {name}: {}", shape(*id))?;
        }
        for (id, weight) in &self.weights {
            writeln!(f, "weight {}: {}", weight.name, shape(*id))?;
        }
        for node in &self.nodes {
            let inputs: Vec<&str> = node.inputs.iter().map(|id| names.get(id).copied().unwrap_or("?")).collect();
            writeln!(f, "{} = {}({}): {}", node.name, node.op.label(), inputs.join(", "), shape(node.output))?;
        }
        for (name, id) in &self.outputs {
            writeln!(f, "output {name} = {}", names.get(id).copied().unwrap_or("?"))?;
        }
        Ok(())
    }
}
