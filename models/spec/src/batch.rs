//! Batches: which rows go together, and their tensors.

mod collate;
mod plan;

pub use collate::{collate_pixels, collate_text};
pub use plan::{BatchLimits, plan};
