//! Operations: what a node computes.

use super::{AxisPads, Interpolation, Padding, Pool, Window};
use crate::dims::Dim;

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
