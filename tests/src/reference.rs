//! The reference cases: numbers computed with the released model.

use std::path::PathBuf;

use mbsd_runtime::tensors;
use mbsd_spec::{Config, NamedTensors};
use serde_json::Value;

/// The folder of a set of cases: `MBSD_REFERENCE`, else the committed copy.
pub fn folder() -> PathBuf {
    match std::env::var_os("MBSD_REFERENCE") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("reference/p32"),
    }
}

/// The configuration that a set's `manifest.json` describes.
///
/// # Panics
/// If the manifest is not there or incomplete.
pub fn config() -> Config {
    let path = folder().join("manifest.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let manifest: Value = serde_json::from_str(&text).expect("the manifest is JSON");
    let size = |key: &str| manifest[key].as_u64().unwrap_or_else(|| panic!("the manifest has no {key}")) as usize;
    Config {
        hidden_size: size("hidden"),
        num_hidden_layers: size("layers"),
        num_attention_heads: size("heads"),
        intermediate_size: size("intermediate"),
        vocab_size: size("vocab"),
        max_position_embeddings: size("max_position"),
        image_size: size("image"),
        patch_size: size("patch"),
        ..Config::base()
    }
    .validated()
    .expect("the manifest's dimensions fit")
}

/// Weights of a case.
pub fn weights(case: &str) -> PathBuf {
    folder().join(format!("{case}.weights.safetensors"))
}

/// Inputs and outputs of a case.
///
/// # Panics
/// If the file cannot be read.
pub fn io(case: &str) -> NamedTensors {
    let path = folder().join(format!("{case}.io.safetensors"));
    tensors::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
