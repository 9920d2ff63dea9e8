//! Products to batches: read and decoded once, drawn anew each epoch, assembled ahead of the device.

mod assemble;
mod augment;
mod batch;
mod corpus;
mod loader;
mod masking;
mod matching;
mod picture;
mod plan;
mod redact;
mod split;

pub use assemble::{Assembler, Extra, Form};
pub use augment::Augmentation;
pub use batch::{Apart, HostBatch, HostTags, HostText, Targets};
pub use corpus::{Corpus, CorpusOptions, Item};
pub use loader::prefetch;
pub use masking::{Hidden, Masking, PatchMasking};
pub use matching::{Attributes, TagSet};
pub use plan::{BatchPlan, Removal, Row, epoch_plan, evaluation_plan};
pub use redact::Redaction;
pub use split::Portion;
