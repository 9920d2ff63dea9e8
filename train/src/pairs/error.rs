//! What can go wrong while pairs are made.

use std::path::{Path, PathBuf};

use mbsd_data::ReadError;

/// Pairs that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PairsError {
    /// A log, catalogue or annotated file cannot be read.
    #[error(transparent)]
    Data(#[from] ReadError),
    /// What was asked for does not fit together.
    #[error("{0}")]
    Setting(String),
    /// A dictionary of terms or a map of words is not what it should be.
    #[error("{}: {reason}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong and what would do.
        reason: String,
    },
    /// Too many rows cannot be used.
    #[error(
        "{}: {bad} of {rows} rows cannot be used, more than --max-bad-rows allows; the first: {first}",
        path.display()
    )]
    BadRows {
        /// The file.
        path: PathBuf,
        /// Rows that cannot be used.
        bad: u64,
        /// All rows.
        rows: u64,
        /// What is wrong with the first.
        first: String,
    },
    /// There is nothing to make pairs of.
    #[error("{}: {reason}", path.display())]
    Nothing {
        /// The file.
        path: PathBuf,
        /// What is lacking.
        reason: String,
    },
    /// The output cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl PairsError {
    pub(super) fn json(path: &Path, reason: impl Into<String>) -> Self {
        Self::Json { path: path.to_owned(), reason: reason.into() }
    }

    pub(super) fn nothing(path: &Path, reason: impl Into<String>) -> Self {
        Self::Nothing { path: path.to_owned(), reason: reason.into() }
    }
}
