//! Writes a [`Graph`](crate::graph::Graph) as ONNX: opset 17, IR version 8, one self-contained file, the same bytes for
//! the same graph.

mod emit;
mod order;
mod proto;
mod shape;
mod spatial;
mod write;

pub use write::{WriteOptions, write};

/// Version of the default operator set: the first with `LayerNormalization`.
pub const OPSET: u32 = 17;

/// Version of the file format that goes with [`OPSET`].
pub const IR_VERSION: i64 = 8;
