//! Runs MBSD bundles: engines and sessions ([`engine`]), tensors in files ([`tensors`]), a look into graph files
//! ([`onnx`]), agreement with the trained model ([`parity`], [`verify`]), jobs over product files ([`job`]) and latency
//! comparisons ([`mod@bench`]). The program `mbsd` is made of these; the flags in [`arguments`] it shares with `mbsd calibrate`.
//!
//! Nothing here trains or compiles: the crate depends on neither Burn nor Python, and builds without a network.

pub mod arguments;
pub mod bench;
pub mod engine;
pub mod job;
pub mod onnx;
pub mod parity;
pub mod tensors;
pub mod verify;
