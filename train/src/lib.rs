//! Trains MBSD with Burn: data sets, objectives, optimisation, checkpoints, evaluation.
//!
//! Data flows one way: [`run`] (what is asked for) -> [`data`] (products to batches, in worker threads) ->
//! [`objective`] (batches to losses) -> [`trainer`] (losses to weights) -> [`checkpoint`]. [`finetune()`] puts them
//! together for the tasks with a head; every stage shares the trainer and the checkpoints.

pub mod checkpoint;
pub mod cli;
pub mod data;
mod error;
pub mod evaluate;
pub mod finetune;
pub mod objective;
pub mod optim;
mod progress;
pub mod run;
pub mod trainer;

pub use error::TrainError;
pub use finetune::{Span, finetune};
pub use run::Run;
