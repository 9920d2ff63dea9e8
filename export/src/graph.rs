//! The compiler's own graph: operations over values with symbolic extents, weights by content.
//!
//! It knows nothing of any particular model. [`crate::Compiler`] makes it, [`crate::passes`] rewrite
//! it, [`crate::onnx`] writes it.

mod windows;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

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

/// Element-wise operations of one operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the ONNX operator of the same name, but for Recip (Reciprocal)")]
pub enum Unary {
    Abs,
    Acos,
    Acosh,
    Asin,
    Asinh,
    Atan,
    Atanh,
    Ceil,
    Cos,
    Cosh,
    Erf,
    Exp,
    Floor,
    IsInf,
    IsNan,
    Log,
    Neg,
    Not,
    Recip,
    Relu,
    Round,
    Sigmoid,
    Sign,
    Sin,
    Sinh,
    Softplus,
    Sqrt,
    Tan,
    Tanh,
}

/// Element-wise operations of two operands, broadcast as ONNX and NumPy do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the ONNX operator of the same name")]
pub enum Binary {
    Add,
    And,
    Div,
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Max,
    Min,
    Mod,
    Mul,
    Or,
    Pow,
    PRelu,
    Sub,
    Xor,
}

impl Binary {
    /// Whether the result is a truth value whatever the operands are.
    pub fn compares(self) -> bool {
        matches!(self, Self::Equal | Self::Greater | Self::GreaterOrEqual | Self::Less | Self::LessOrEqual)
    }
}

/// Reductions over axes that stay with extent 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the ONNX operator with this name after `Reduce`")]
pub enum Reduce {
    Max,
    Mean,
    Min,
    Prod,
    Sum,
}

/// A slice of one axis, with a positive step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SliceRange {
    /// The axis.
    pub axis: usize,
    /// First index.
    pub start: Dim,
    /// Index after the last.
    pub end: Dim,
    /// Distance between indices taken.
    pub step: i64,
}

/// What a node computes. Shapes are those of the node's output.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Batched matrix product.
    MatMul,
    /// One operand.
    Unary(Unary),
    /// Two operands.
    Binary(Binary),
    /// Exact GELU, `x/2 (1 + erf(x / sqrt 2))`.
    Gelu,
    /// `x` where positive, `alpha x` elsewhere.
    LeakyRelu {
        /// The slope of the negative side.
        alpha: f32,
    },
    /// Conversion to the output's element type.
    Cast,
    /// The same elements in another shape.
    Reshape {
        /// The shape.
        shape: Vec<Dim>,
    },
    /// Permuted axes.
    Transpose {
        /// Input axis of each output axis.
        perm: Vec<usize>,
    },
    /// Broadcast to a shape.
    Expand {
        /// The shape.
        shape: Vec<Dim>,
    },
    /// The same repeated along an axis.
    Tile {
        /// The axis.
        axis: usize,
        /// How often.
        times: Dim,
    },
    /// A part of the input.
    Slice {
        /// Along each sliced axis.
        ranges: Vec<SliceRange>,
    },
    /// Operands one after another.
    Concat {
        /// The axis.
        axis: usize,
    },
    /// Rows of the first operand chosen by the second.
    Gather {
        /// The axis indexed.
        axis: usize,
    },
    /// Elements of the first operand chosen along an axis by an equally ranked second.
    GatherElements {
        /// The axis indexed.
        axis: usize,
    },
    /// Convolution over the axes after batch and channels: input, kernel, optional bias.
    Conv {
        /// How the kernel moves.
        window: Window,
        /// Independent channel groups.
        groups: usize,
    },
    /// The transpose of a convolution: input, kernel, optional bias.
    ConvTranspose {
        /// How the kernel moves over the output; the padding is cut off.
        window: Window,
        /// What is added at the end of each axis of the output.
        output_pads: Vec<usize>,
        /// Independent channel groups.
        groups: usize,
    },
    /// One element for each window.
    Pool {
        /// Which.
        kind: Pool,
        /// How the window moves.
        window: Window,
        /// Whether a window may reach over the end.
        ceil: bool,
    },
    /// The axes after batch and channels in another number of steps.
    Resize {
        /// How elements between the given ones are made up.
        mode: Interpolation,
        /// Whether the outermost elements stay outermost, instead of the outermost edges.
        align_corners: bool,
        /// Extents after batch and channels.
        size: Vec<Dim>,
    },
    /// Elements added around.
    Pad {
        /// On each axis.
        pads: Vec<AxisPads>,
        /// What is added.
        padding: Padding,
    },
    /// Normalization of each channel by given statistics: input, scale, shift, mean, variance.
    BatchNorm {
        /// Added to the variance.
        epsilon: f32,
    },
    /// Running sums along an axis.
    CumSum {
        /// The axis.
        axis: usize,
    },
    /// The largest or smallest elements along an axis in order, or their indices.
    TopK {
        /// The axis.
        axis: usize,
        /// How many.
        k: Dim,
        /// The largest, else the smallest.
        largest: bool,
        /// Indices, else values.
        indices: bool,
    },
    /// Index of the largest or smallest element along an axis, the first of equal ones; the axis stays with extent 1.
    ArgReduce {
        /// The axis.
        axis: usize,
        /// The largest, else the smallest.
        largest: bool,
    },
    /// Whole numbers at equal distances.
    Range {
        /// The first.
        start: Dim,
        /// The one after the last.
        end: Dim,
        /// The distance.
        step: i64,
    },
    /// Normalization over the last axis: input, scale, optional shift.
    LayerNorm {
        /// Added to the variance.
        epsilon: f32,
    },
    /// Exponentials normalized along an axis.
    Softmax {
        /// The axis.
        axis: usize,
    },
    /// Logarithm of [`Op::Softmax`].
    LogSoftmax {
        /// The axis.
        axis: usize,
    },
    /// The second operand where the first holds, else the third.
    Where,
    /// A reduction.
    Reduce {
        /// Which.
        kind: Reduce,
        /// Over which axes.
        axes: Vec<usize>,
    },
    /// The same number everywhere.
    Fill {
        /// The shape.
        shape: Vec<Dim>,
        /// The number.
        value: f64,
    },
}

impl Op {
    /// A short lower-case name, from which nodes without a parameter are named.
    pub fn label(&self) -> String {
        match self {
            Self::MatMul => "matmul".into(),
            Self::Unary(op) => snake(&format!("{op:?}")),
            Self::Binary(op) => snake(&format!("{op:?}")),
            Self::Gelu => "gelu".into(),
            Self::LeakyRelu { .. } => "leaky_relu".into(),
            Self::Cast => "cast".into(),
            Self::Reshape { .. } => "reshape".into(),
            Self::Transpose { .. } => "transpose".into(),
            Self::Expand { .. } => "expand".into(),
            Self::Tile { .. } => "tile".into(),
            Self::Slice { .. } => "slice".into(),
            Self::Concat { .. } => "concat".into(),
            Self::Gather { .. } => "gather".into(),
            Self::GatherElements { .. } => "gather_elements".into(),
            Self::Conv { .. } => "conv".into(),
            Self::ConvTranspose { .. } => "conv_transpose".into(),
            Self::Pool { kind: Pool::Max, .. } => "max_pool".into(),
            Self::Pool { kind: Pool::Mean { .. }, .. } => "average_pool".into(),
            Self::Resize { .. } => "resize".into(),
            Self::Pad { .. } => "pad".into(),
            Self::BatchNorm { .. } => "batch_norm".into(),
            Self::CumSum { .. } => "cum_sum".into(),
            Self::TopK { indices: false, .. } => "top_k".into(),
            Self::TopK { indices: true, .. } => "top_k_indices".into(),
            Self::ArgReduce { largest: true, .. } => "arg_max".into(),
            Self::ArgReduce { largest: false, .. } => "arg_min".into(),
            Self::Range { .. } => "range".into(),
            Self::LayerNorm { .. } => "layer_norm".into(),
            Self::Softmax { .. } => "softmax".into(),
            Self::LogSoftmax { .. } => "log_softmax".into(),
            Self::Where => "where".into(),
            Self::Reduce { kind, .. } => format!("reduce_{}", snake(&format!("{kind:?}"))),
            Self::Fill { .. } => "fill".into(),
        }
    }

    /// Every extent written into the operation itself.
    pub fn dims_mut(&mut self) -> Vec<&mut Dim> {
        match self {
            Self::Reshape { shape } | Self::Expand { shape } | Self::Fill { shape, .. } => shape.iter_mut().collect(),
            Self::Tile { times, .. } => vec![times],
            Self::Resize { size, .. } => size.iter_mut().collect(),
            Self::Pad { pads, .. } => pads.iter_mut().flat_map(|p| [&mut p.before, &mut p.after]).collect(),
            Self::TopK { k, .. } => vec![k],
            Self::Range { start, end, .. } => vec![start, end],
            Self::Slice { ranges } => ranges.iter_mut().flat_map(|r| [&mut r.start, &mut r.end]).collect(),
            _ => Vec::new(),
        }
    }
}

fn snake(camel: &str) -> String {
    let mut out = String::new();
    for (i, c) in camel.chars().enumerate() {
        if c.is_uppercase() && i > 0 {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
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

/// A constant tensor, known by its content.
#[derive(Clone)]
pub struct Weight {
    /// After the module path: `encoder.layer.3.attention.query.weight`.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Extents.
    pub shape: Vec<usize>,
    content: Content,
}

/// Little-endian elements, in memory or still where the module keeps them.
#[derive(Clone)]
enum Content {
    Inline(Arc<[u8]>),
    Deferred(Arc<dyn Fn() -> Vec<u8> + Send + Sync>),
}

impl Weight {
    /// A constant held in memory, as little-endian bytes.
    pub fn inline(name: impl Into<String>, dtype: DType, shape: Vec<usize>, bytes: Vec<u8>) -> Self {
        Self { name: name.into(), dtype, shape, content: Content::Inline(bytes.into()) }
    }

    /// A constant read from its source each time its bytes are asked for, so that a graph of a large model
    /// does not hold the model a second time.
    pub fn deferred(
        name: impl Into<String>,
        dtype: DType,
        shape: Vec<usize>,
        read: impl Fn() -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), dtype, shape, content: Content::Deferred(Arc::new(read)) }
    }

    /// The elements, little-endian.
    pub fn bytes(&self) -> Vec<u8> {
        match &self.content {
            Content::Inline(bytes) => bytes.to_vec(),
            Content::Deferred(read) => read(),
        }
    }

    /// Size in a file.
    pub fn byte_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }

    /// Whether the bytes lie in memory: true of small constants, false of module parameters.
    pub fn is_inline(&self) -> bool {
        matches!(self.content, Content::Inline(_))
    }

    /// Where a parameter is read from, in memory: what was reshaped has the place of what it was made of.
    pub(crate) fn source(&self) -> Option<usize> {
        match &self.content {
            Content::Inline(_) => None,
            Content::Deferred(read) => Some(Arc::as_ptr(read).cast::<()>() as usize),
        }
    }

    /// The same elements in another shape of the same size.
    pub fn reshaped(&self, shape: Vec<usize>) -> Self {
        debug_assert_eq!(shape.iter().product::<usize>(), self.shape.iter().product::<usize>());
        Self { shape, ..self.clone() }
    }
}

impl fmt::Debug for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Weight({} {} {:?})", self.name, self.dtype.name(), self.shape)
    }
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
