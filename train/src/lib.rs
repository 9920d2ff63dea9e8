//! Trains MBSD with Burn: data sets, objectives, optimisation, checkpoints, evaluation.
//!
//! Data flows one way: [`run`] (what is asked for) -> [`data`] (products to batches, in worker threads) ->
//! [`objective`] (batches to losses) -> [`trainer`] (losses to weights) -> [`checkpoint`]. [`train()`] puts them
//! together, for both stages of pre-training and for the tasks.

pub mod ablate;
pub mod checkpoint;
pub mod cli;
mod curves;
pub mod data;
pub mod device;
mod error;
pub mod evaluate;
pub mod objective;
pub mod optim;
pub mod pairs;
pub mod parallel;
mod progress;
pub mod run;
mod session;
pub mod trainer;

pub use error::TrainError;
pub use run::Run;
pub use session::{Span, train};
