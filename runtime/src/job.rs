//! Jobs over product files: what a catalogue goes through from rows to results.
//!
//! ```text
//! reader ─windows─> preparing (decode, tokenize) ─> scoring (one session a worker) ─> results, in input order
//! ```
//!
//! The stages overlap and are joined by bounded queues; a window of rows moves through them as a whole. Rows of a window
//! are grouped by variant and cut into batches by a token budget, so batches, and with them scores, depend on the order
//! of the input and on the settings, never on the number of threads or on timing.
//!
//! A row that cannot be scored takes an error in the place of its result; only what concerns every row is a [`JobError`].

mod align;
mod answer;
mod choice;
mod clock;
mod error;
mod eval;
mod ledger;
mod model;
mod neighbours;
mod output;
mod pipeline;
mod prepare;
mod route;
mod rows;
mod score;
mod sink;
mod summary;
mod tasks;
mod texts;
mod tune;

pub use align::{AlignOptions, align, eval_pairs, eval_pairs_each};
pub use answer::{AnswerOptions, answer_each};
pub use choice::TagOptions;
pub use error::JobError;
pub use eval::{EvalOptions, Evaluation, MIN_TAG_ROWS, eval, eval_each};
pub use ledger::Identity;
pub use model::Model;
pub use neighbours::{NeighbourOptions, find_pairs};
pub use output::{FieldType, OutputColumn, OutputFile};
pub use pipeline::{Progress, Workers};
pub use route::{Modalities, route};
pub use score::Scored;
pub use sink::{Destination, ShardFormat, ShardedOutput};
pub use summary::{Stages, Summary};
pub use tasks::{Catalogue, ClassifyOptions, Done, classify, embed, tag};
pub use tune::{Tuned, TunedThresholds, tune_thresholds};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
