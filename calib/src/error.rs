//! Why a bundle is not quantized.

use std::io;
use std::path::PathBuf;

use mbsd_runtime::engine::EngineError;
use mbsd_runtime::job::JobError;
use mbsd_runtime::parity::ParityError;
use mbsd_spec::bundle::BundleError;
use mbsd_spec::{Precision, Variant};

/// Why a bundle is not quantized, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibError {
    /// The bundle cannot be read or written.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// An engine cannot be had, or cannot run a graph.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Agreement with the trained model cannot be measured.
    #[error(transparent)]
    Parity(#[from] ParityError),
    /// The labelled rows cannot be used.
    #[error(transparent)]
    Job(#[from] JobError),
    /// A file cannot be read or written.
    #[error("cannot access {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A graph file that is not what this crate rewrites.
    #[error("{}: {reason}", path.display())]
    Graph {
        /// The file.
        path: PathBuf,
        /// What is off, and what to do.
        reason: String,
    },
    /// A weight that has no 8-bit form.
    #[error("weight `{name}` {reason}")]
    Weight {
        /// The weight.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A graph that computes in 8 bits already.
    #[error(
        "the {variant} graph is quantized already (node `{node}` is a {op}); calibrate a bundle with f32 graphs, as `mbsd export` writes it"
    )]
    AlreadyQuantized {
        /// Which graph.
        variant: Variant,
        /// The node.
        node: String,
        /// Its operator.
        op: String,
    },
    /// The bundle has such graphs already.
    #[error("the bundle has {0} graphs already; calibrate the bundle that they were made of")]
    AlreadyThere(Precision),
    /// Nothing to compare on.
    #[error("no rows to calibrate with: {0}")]
    NoRows(String),
    /// An activation without a usable range.
    #[error("activation `{name}` {reason}")]
    Range {
        /// The tensor.
        name: String,
        /// What was observed, and what to do.
        reason: String,
    },
    /// A setting that does not fit the bundle or the data.
    #[error("{0}")]
    Setting(String),
    /// Graphs that lose too much or win no time.
    #[error("refused: {}; nothing was written (--force writes the bundle all the same)", .0.join("; "))]
    Refused(Vec<String>),
}

impl CalibError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
