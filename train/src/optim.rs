//! From gradients to weights: parameter groups, clipping, schedule.

mod optimizer;
mod schedule;

pub use optimizer::{Optimizer, global_norm};
pub use schedule::Schedule;
