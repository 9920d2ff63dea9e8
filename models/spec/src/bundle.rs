//! The bundle that travels: a folder with graphs, tokenizer, preprocessing and a manifest that
//! vouches for every file in it.

mod manifest;
mod read;
mod write;

pub use manifest::{
    Artifact, DimSpec, Manifest, Measured, Parity, Provenance, QualityMeasured, Quantization, SCHEMA_VERSION,
    TensorSpec,
};
pub use read::{Bundle, BundleError};
pub use write::{BundleWriter, StagedFolder, sha256, sha256_file};

/// File names with a fixed meaning inside a bundle.
pub mod names {
    /// The manifest.
    pub const MANIFEST: &str = "manifest.json";
    /// The architecture.
    pub const CONFIG: &str = "config.json";
    /// The tokenizer, in `tokenizers` format. Absent from a bundle exported without one.
    pub const TOKENIZER: &str = "tokenizer.json";
    /// How pixels are made.
    pub const PREPROCESSOR: &str = "preprocessor_config.json";
    /// The folder of graphs.
    pub const GRAPHS: &str = "onnx";
    /// The weights of all graphs, in a bundle whose graphs share them.
    pub const WEIGHTS: &str = "onnx/weights.bin";
    /// The folder of reference rows: for each variant what goes in, and what the trained model gives. Absent from bundles of
    /// earlier builds.
    pub const REFERENCE: &str = "reference";

    /// The reference rows of a variant.
    pub fn reference(variant: crate::Variant) -> String {
        format!("{REFERENCE}/{variant}.safetensors")
    }
}
