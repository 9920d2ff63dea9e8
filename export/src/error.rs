//! Why a module cannot be compiled.

use std::io;

/// What [`ExportError::Unsupported`] lists.
const SUPPORTED: &str = "Linear, Embedding, Conv2d, LayerNorm, matmul, ReLU, GELU, LeakyReLU, Sigmoid, \
     Tanh, Softmax, LogSoftmax, elementwise arithmetic, comparisons and logic, powers, exp, log, sqrt, erf, sin, cos, \
     rounding, clamp, mask_where, mask_fill, reshape, permute, swap_dims, expand, repeat, slice, cat, select, gather, \
     casts, zeros, ones, full, and mean, sum, prod, max, min over dimensions";

/// Why a module cannot be compiled, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The declaration of inputs or outputs is unusable.
    #[error("graph boundary: {0}")]
    Boundary(String),
    /// The module's forward panicked while it was recorded.
    #[error("the module's forward failed while it was recorded at {sizes}: {message}")]
    Forward {
        /// The sizes of the trace.
        sizes: String,
        /// The panic's message.
        message: String,
    },
    /// Burn's capture refused the recording.
    #[error("capture: {0}")]
    Capture(String),
    /// An operation the compiler has no lowering for.
    #[error("operation `{operation}` near parameter `{near}` has no lowering; supported are: {}", SUPPORTED)]
    Unsupported {
        /// The operation's name in Burn's intermediate representation.
        operation: String,
        /// Path of the last parameter used before it.
        near: String,
    },
    /// The forward does something else at other sizes.
    #[error("the forward depends on the sizes in a way a graph cannot: {0}")]
    Structure(String),
    /// An extent is not a polynomial over the named sizes.
    #[error(
        "{what} does not follow from the named sizes: measured {measured}; make it a sum of products of {symbols}, or give it fixed"
    )]
    Dimension {
        /// Where.
        what: String,
        /// What the traces showed.
        measured: String,
        /// The named sizes.
        symbols: String,
    },
    /// A single file cannot hold the graph.
    #[error(
        "the graph takes {bytes} bytes, over the 2 GB that one ONNX file can hold; keep its weights beside it with \
         --shared-weights, or export a smaller precision"
    )]
    TooLarge {
        /// Size of the file.
        bytes: u64,
    },
    /// The file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
}
