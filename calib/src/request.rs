//! What to make, of what, and what it may lose.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use mbsd_runtime::engine::{EngineKind, EngineOptions};
use mbsd_spec::{Precision, Variant};

use crate::qdq::Activations;
use crate::ranges::RangeMethod;
use crate::rows::{LabelledData, RangeData};
use crate::smooth::Alpha;
use crate::weights::WeightBits;

/// How 8-bit graphs are made.
#[derive(Debug, Clone, PartialEq)]
pub enum Method {
    /// Activations quantized per token at run time: [`crate::per_token`].
    PerToken,
    /// Activations quantized by ranges that are observed beforehand: [`crate::qdq`].
    Qdq(StaticRanges),
    /// 8-bit weights alone: [`crate::weights_only`].
    Weights,
}

/// How static ranges come about.
#[derive(Debug, Clone, PartialEq)]
pub struct StaticRanges {
    /// The rows they are observed on.
    pub data: RangeData,
    /// How they are chosen of what was observed.
    pub method: RangeMethod,
    /// How activations lie in bytes.
    pub activations: Activations,
    /// Moves the spread of activations to the weights beforehand, where given: [`crate::smooth`].
    pub smoothing: Option<Alpha>,
}

impl Method {
    /// The precision of the graphs it makes.
    pub fn precision(&self) -> Precision {
        match self {
            Self::PerToken => Precision::Int8,
            Self::Qdq(_) => Precision::Qdq,
            Self::Weights => Precision::W8,
        }
    }

    /// The static ranges, for the method that has them.
    pub fn static_ranges(&self) -> Option<&StaticRanges> {
        match self {
            Self::Qdq(ranges) => Some(ranges),
            Self::PerToken | Self::Weights => None,
        }
    }

    /// Whether its graphs are there to be faster.
    pub(crate) fn promises_speed(&self) -> bool {
        *self != Self::Weights
    }
}

/// What to make, of what, and what it may lose.
#[derive(Debug, Clone)]
pub struct Request {
    /// A bundle with f32 graphs.
    pub bundle: PathBuf,
    /// How.
    pub method: Method,
    /// Rows that the graphs are compared on.
    pub data: LabelledData,
    /// The graphs to make 8-bit ones of; all that encode products where `None`.
    pub variants: Option<Vec<Variant>>,
    /// What computes.
    pub engines: Engines,
    /// CPU threads; all cores where `None`.
    pub threads: Option<NonZeroUsize>,
    /// Bits of a weight.
    pub weight_bits: WeightBits,
    /// Products that stay in f32: those whose name contains one of these.
    pub keep: Vec<String>,
    /// ROC-AUC, or accuracy for classification, that a graph may lose.
    pub max_drop: f64,
    /// Measure what each product alone costs, also where the graph keeps to `max_drop` without.
    pub sensitivity: bool,
    /// Write the bundle also where a graph loses more, or is not faster than f32.
    pub force: bool,
    /// The bundle to be: a new or empty folder.
    pub out: PathBuf,
}

/// The engines that graphs are run with.
#[derive(Debug, Clone)]
pub struct Engines {
    /// Which, in this order.
    pub kinds: Vec<EngineKind>,
    /// Leave out those that are not there instead of failing; one must be.
    pub optional: bool,
    /// Where their libraries are.
    pub options: EngineOptions,
}
