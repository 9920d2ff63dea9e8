//! What can go wrong in a run.

use std::path::PathBuf;

use mbsd_data::ReadError;
use mbsd_net::WeightsError;
use mbsd_spec::ConfigError;
use mbsd_spec::text::TokenizerError;

use crate::device::DeviceError;
use crate::pairs::PairsError;

/// A run that cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The run file, or what `--set` makes of it, is wrong.
    #[error("{place}: {reason}")]
    Run {
        /// The file, or the field as `table.key`.
        place: String,
        /// What is wrong and what would do.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// `read`, `write` or the like.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The products cannot be read.
    #[error(transparent)]
    Data(#[from] ReadError),
    /// The model's dimensions do not fit together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Query-product pairs cannot be made.
    #[error(transparent)]
    Pairs(#[from] PairsError),
    /// The tokenizer cannot be read or made.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// Weights cannot be read or written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Too many rows cannot be used.
    #[error("{}: {bad} of {rows} rows cannot be used, more than data.max_bad_rows allows; the first: {first}", path.display())]
    BadRows {
        /// The file.
        path: PathBuf,
        /// Rows that cannot be used.
        bad: usize,
        /// All rows.
        rows: usize,
        /// What is wrong with the first.
        first: String,
    },
    /// The data hold nothing to learn from.
    #[error("{}: {reason}", path.display())]
    NoRows {
        /// The file.
        path: PathBuf,
        /// What is lacking.
        reason: String,
    },
    /// The loss or a gradient is not a finite number.
    #[error(
        "{what} is not a finite number at step {step}{}. Try a lower optimizer.learning_rate or clip_norm, with another output",
        batch_of(products)
    )]
    Diverged {
        /// The loss or the gradient.
        what: &'static str,
        /// The step, the first being 1.
        step: usize,
        /// Ids of the products of the step's batches; of none, if it is in validation.
        products: Vec<String>,
    },
    /// Another process trains into the folder.
    #[error("{}: another process trains into it: wait for that, or take another output", path.display())]
    Busy {
        /// The run's folder.
        path: PathBuf,
    },
    /// A checkpoint cannot be continued from.
    #[error("cannot resume from {}: {reason}", path.display())]
    Resume {
        /// The checkpoint.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The thread that makes batches ended early.
    #[error("a batch could not be made: {0}")]
    Batch(String),
    /// The device cannot be had.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// Products of a batch that are named; the others are counted.
const NAMED: usize = 64;

fn batch_of(products: &[String]) -> String {
    match products {
        [] => String::new(),
        _ if products.len() <= NAMED => format!("; the step's batch holds the products {}", products.join(", ")),
        _ => {
            let (named, others) = products.split_at(NAMED);
            format!("; the step's batch holds the products {} and {} more", named.join(", "), others.len())
        }
    }
}

impl TrainError {
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }

    pub(crate) fn run(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Run { place: place.into(), reason: reason.into() }
    }
}
