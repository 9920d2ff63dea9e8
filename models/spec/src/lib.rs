//! What MBSD is, for everyone who trains, compiles or serves it: configuration, tasks and graph
//! variants, the bundle that travels, tokenization, image preprocessing and batches.
//!
//! This crate is the bottom of the workspace. It knows no neural network library and no inference
//! engine, reads and writes local files only, and never touches the network.

pub mod bundle;
pub mod config;
pub mod metrics;
pub mod task;
pub mod tensor;

pub use bundle::{Bundle, BundleError, Manifest};
pub use config::{Config, ConfigError};
pub use task::{Precision, Task, Variant};
pub use tensor::{NamedTensors, Tensor};
