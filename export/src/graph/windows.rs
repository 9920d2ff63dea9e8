//! What operations over spatial axes are made of: windows, pools, resampling, padding.

use crate::dims::Dim;

/// How a window moves over the axes after batch and channels.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Window {
    /// Elements under the window, on each axis.
    pub kernel: Vec<usize>,
    /// Steps.
    pub strides: Vec<usize>,
    /// What is added before and after each axis.
    pub pads: Vec<(usize, usize)>,
    /// Distance between neighbours under the window.
    pub dilations: Vec<usize>,
}

/// What a pool keeps of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pool {
    /// The largest element; padding is never it.
    Max,
    /// The mean.
    Mean {
        /// Whether padding counts as zeros.
        pads_count: bool,
    },
}

/// How elements between the given ones are made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Interpolation {
    /// The element whose share of the axis starts before; extents grow by whole factors.
    Nearest,
    /// A straight line between neighbours.
    Linear,
    /// The cubic convolution with coefficient -0.75.
    Cubic,
}

/// What padding consists of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Padding {
    /// A number.
    Constant(f64),
    /// The outermost element.
    Edge,
    /// The elements inside, mirrored at the outermost one.
    Reflect,
}

/// Elements added before and after an axis.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AxisPads {
    /// Before the first element.
    pub before: Dim,
    /// After the last.
    pub after: Dim,
}
