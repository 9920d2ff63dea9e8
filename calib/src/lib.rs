//! 8-bit graphs of MBSD bundles, each compared with the f32 graph it was made of before it is let out.
//!
//! [`calibrate()`] makes them: [`per_token`] for ONNX Runtime and tract on CPUs, [`qdq`] with static ranges for TensorRT,
//! [`weights_only`] for small downloads. [`graph`] is the ONNX graph that these rewrite; [`weights`], [`ranges`] and [`smooth`] hold the
//! arithmetic. [`write_tables()`] makes TensorRT's calibration tables instead of graphs.
//!
//! The crate uses the runtime and its engines; it depends on neither Burn nor the compiler, so that a bundle can be calibrated
//! where it is served.

mod artifact;
pub mod calibrate;
mod compare;
mod error;
pub mod graph;
mod observe;
pub mod per_token;
mod progress;
pub mod qdq;
pub mod ranges;
pub mod report;
pub mod request;
mod rows;
mod sensitivity;
pub mod smooth;
pub mod table;
mod tap;
pub mod weights;
pub mod weights_only;

pub use calibrate::{Calibrated, calibrate};
pub use error::CalibError;
pub use observe::RangeRow;
pub use request::{Engines, Method, Request, StaticRanges};
pub use rows::{LabelledData, Products, RangeData};
pub use sensitivity::Sensitivity;
pub use table::{TablesRequest, write_tables};
