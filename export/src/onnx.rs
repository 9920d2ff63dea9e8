//! Writes a [`Graph`](crate::graph::Graph) as ONNX: opset 17, IR version 8, the same bytes for the same graph. A file is
//! self-contained, or has its weights in another one beside it that graphs share.

mod emit;
mod order;
mod proto;
mod shape;
mod shared;
mod spatial;
mod write;

pub use shared::SharedWeights;
pub use write::{WriteOptions, write, write_shared};

/// Version of the default operator set: the first with `LayerNormalization`.
pub const OPSET: u32 = 17;

/// Version of the file format that goes with [`OPSET`].
pub const IR_VERSION: i64 = 8;
