//! From what the model makes of a batch to its loss: the tasks with a head, and both stages of pre-training.

mod batch;
mod heads;
pub mod sdmi;
pub mod stage1;
mod teacher;

pub use batch::{BatchLoss, Losses, Stage1Outcome, logits, stage1 as stage1_batch};
use heads::binary_cross_entropies;
pub use heads::{binary_cross_entropy, cross_entropy};
pub use teacher::{Teacher, distillation};
