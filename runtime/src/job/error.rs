//! What ends a job, as opposed to what is wrong with one row.

use std::path::PathBuf;

use mbsd_data::ReadError;
use mbsd_spec::text::TokenizerError;
use mbsd_spec::{BundleError, Precision, PreprocessorError, Task};

use crate::engine::EngineError;

/// A job that cannot start or go on. Nothing is left at the place of an output file; shards that are done stay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The bundle cannot be used.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The engine cannot load or run a graph.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The input cannot be used.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The bundle's tokenizer cannot be used.
    #[error("the bundle's tokenizer cannot be used")]
    Tokenizer(#[from] TokenizerError),
    /// The bundle's preprocessing cannot be used.
    #[error("the bundle's preprocessing cannot be used")]
    Preprocessor(#[from] PreprocessorError),
    /// The bundle answers another question.
    #[error("the bundle is for the task `{found}`; this needs one for `{needed}`")]
    Task {
        /// The bundle's.
        found: Task,
        /// The command's.
        needed: Task,
    },
    /// The bundle was exported without a tokenizer.
    #[error(
        "the bundle has no tokenizer.json, so it cannot read titles or tags; export it again with `--tokenizer vocab.txt`"
    )]
    NoTokenizer,
    /// No graph of the bundle encodes products in this precision.
    #[error("the bundle has no {precision} graph that encodes products; it has: {present}")]
    NoGraph {
        /// Asked for.
        precision: Precision,
        /// What there is.
        present: String,
    },
    /// A setting that does not fit the bundle or the files.
    #[error("{0}")]
    Setting(String),
    /// A graph returned something else than its contract says.
    #[error("the {graph} graph does not keep its contract: {reason}; export the bundle again")]
    Contract {
        /// The variant.
        graph: String,
        /// What is off.
        reason: String,
    },
    /// The folder of a job in shards cannot be used for this one.
    #[error("{} cannot be used for this job: {reason}", folder.display())]
    Resume {
        /// The folder.
        folder: PathBuf,
        /// Why.
        reason: String,
    },
    /// The job was asked to end before the input did.
    #[error("interrupted after {rows} rows; {} has them, and --resume goes on", folder.display())]
    Interrupted {
        /// The folder of its shards.
        folder: PathBuf,
        /// Rows done, by earlier starts too.
        rows: u64,
    },
    /// The input ended before its end.
    #[error(
        "the rows of the input from row {row} on cannot be had: {reason}; make the input whole and run again, with --resume where shards \
         are done"
    )]
    InputLost {
        /// The first row that is missing.
        row: u64,
        /// Why.
        reason: String,
    },
    /// More rows than allowed have no result.
    #[error("{count} rows have no result, more than --max-errors {limit} allows: {codes}")]
    TooManyErrors {
        /// How many.
        count: u64,
        /// How many are allowed.
        limit: u64,
        /// How many of each kind.
        codes: String,
    },
    /// The output cannot be written.
    #[error("cannot write {}", path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
