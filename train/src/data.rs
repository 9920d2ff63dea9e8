//! Products to batches: read and decoded once, drawn anew each epoch, assembled ahead of the device.

mod batch;
mod corpus;
mod loader;
mod matching;
mod plan;
mod redact;

pub use batch::{Assembler, HostBatch, Targets};
pub use corpus::{Corpus, CorpusOptions, Item};
pub use loader::prefetch;
pub use matching::{Attributes, TagSet};
pub use plan::{Augmentation, BatchPlan, Row, epoch_plan, evaluation_plan};
pub use redact::Redaction;
