//! Latency comparisons: what each engine, precision, batch, text length and number of threads costs on this machine.
//!
//! ```text
//! Plan (cells) ─> rounds: one new process a cell and round ─> Report ─> JSON, Markdown, HTML
//!                                                               ├────> compare: what changed beyond noise
//!                                                               └────> choose: the fastest within limits
//! ```
//!
//! A cell is one way to run one graph. Each round visits every cell, so that what the machine goes through meanwhile hits all
//! alike, and starts a process of its own for it: loading, the first inference and peak memory are that cell's alone, and what
//! differs from process to process (where memory lies, where threads run) is inside the intervals. An engine that is not there
//! is told in its cells, and the rest is measured.

mod accuracy;
pub mod choose;
pub mod compare;
mod inputs;
mod load;
mod machine;
mod markdown;
mod noise;
mod page;
mod peak;
mod pipeline;
mod plan;
mod report;
mod run;
mod steady;
mod summary;
mod usage;
mod worker;

#[cfg(test)]
mod testing;

pub use load::Load;
pub use plan::{Contender, Launch, Peer, PlanOptions, Subject, most_text};
pub use report::{
    Accuracy, Cell, EngineInfo, Key, Machine, Measurement, Noise, Outcome, Report, SCHEMA_VERSION, Stages, SubjectInfo,
};
pub use run::{BenchError, Effort, run};
pub use worker::serve;
