//! From gradients to weights: parameter groups, clipping, schedule.

mod optimizer;
mod rule;
mod schedule;

pub use optimizer::{Optimizer, global_norm};
pub use schedule::Schedule;
