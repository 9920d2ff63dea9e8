//! What MBSD is, for everyone who trains, compiles or serves it: configuration, tasks and graph
//! variants, the bundle that travels, tokenization, image preprocessing and batches; and how measured figures are told: metrics,
//! statistics, charts.
//!
//! This crate is the bottom of the workspace. It knows no neural network library and no inference
//! engine, reads and writes local files only, and never touches the network.

pub mod batch;
pub mod bundle;
pub mod chart;
pub mod config;
pub mod image;
pub mod metrics;
pub mod row;
pub mod statistics;
pub mod task;
pub mod tensor;
pub mod text;

pub use batch::{BatchLimits, collate_pixels, collate_text, plan};
pub use bundle::{Bundle, BundleError, Manifest};
pub use config::{Architecture, Attention, Config, ConfigError, Patchify};
pub use image::{ImageError, Preprocessor, PreprocessorError, RgbImage};
pub use row::RowError;
pub use task::{Precision, Task, Variant};
pub use tensor::{NamedTensors, Tensor};
pub use text::{TextError, TextIds, TextRow, Tokenizer, TokenizerError};
