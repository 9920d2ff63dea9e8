//! `manifest.json`: what a bundle is and what was measured about it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::task::{Precision, Task, Variant};

/// The manifest version this build reads and writes.
pub const SCHEMA_VERSION: u32 = 1;

/// The contents of `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// What the model answers.
    pub task: Task,
    /// Class names in logit order; classification only, empty otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Probability from which a tag or a pair counts as matching; match and alignment only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
    /// The same by attribute name, for tags of that attribute (`Colour` of `Colour:Black`); match only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub thresholds: BTreeMap<String, f32>,
    /// Text tokens a row may have, `[CLS]` and `[SEP]` included.
    pub max_text_tokens: usize,
    /// The graphs.
    pub artifacts: Vec<Artifact>,
    /// SHA-256, in hex, of every file of the bundle but the manifest, by path relative to the bundle.
    pub files: BTreeMap<String, String>,
    /// Where the bundle comes from.
    pub provenance: Provenance,
}

/// One graph of a bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// Which graph.
    pub variant: Variant,
    /// Its arithmetic.
    pub precision: Precision,
    /// File, relative to the bundle, with forward slashes.
    pub path: String,
    /// Version of the default ONNX operator set.
    pub opset: u32,
    /// Size of the file.
    pub bytes: u64,
    /// Inputs in graph order.
    pub inputs: Vec<TensorSpec>,
    /// Outputs in graph order.
    pub outputs: Vec<TensorSpec>,
    /// Agreement with Burn by engine name, as measured at export.
    pub parity: BTreeMap<String, Parity>,
    /// How an 8-bit graph was made of the bundle's f32 graph, and what it lost; absent from other graphs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization: Option<Quantization>,
}

/// How an 8-bit graph was made, and how it compares with the f32 graph that it was made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantization {
    /// Bits of a weight, 8 or 7.
    pub weight_bits: u8,
    /// Products computed with 8-bit weights.
    pub products: usize,
    /// Products left in single precision, by the name of their node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<String>,
    /// The comparison on labelled rows, by engine name.
    pub measured: BTreeMap<String, QualityMeasured>,
}

/// An 8-bit graph beside its f32 graph, on the same rows and engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QualityMeasured {
    /// What is compared: `roc_auc` or `accuracy`.
    pub measure: String,
    /// Of the f32 graph.
    pub f32: f64,
    /// Of the 8-bit graph.
    pub quantized: f64,
    /// Rows measured.
    pub rows: u64,
    /// Largest absolute difference of a logit.
    pub max_abs_diff: f64,
    /// Mean absolute difference of logits.
    pub mean_abs_diff: f64,
    /// Time of the f32 graph through time of the 8-bit graph, on batches of these rows.
    pub speedup: f64,
    /// The engine's version.
    pub engine_version: String,
}

/// Name, type and symbolic shape of a graph input or output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorSpec {
    /// The tensor's name.
    pub name: String,
    /// `float32` or `int64`.
    pub dtype: String,
    /// Extent of each axis.
    pub shape: Vec<DimSpec>,
}

/// An extent: a number, or a named symbol such as `batch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DimSpec {
    /// Always this.
    Fixed(usize),
    /// Whatever the caller sends, the same wherever the name recurs.
    Symbol(String),
}

/// What is known of an engine's agreement with Burn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Parity {
    /// Both were run on the same inputs.
    Measured(Measured),
    /// `not measured`, and why.
    NotMeasured(String),
}

/// Differences of an engine's outputs from Burn's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// Largest absolute difference over all outputs.
    pub max_abs_diff: f64,
    /// Mean absolute difference over all outputs.
    pub mean_abs_diff: f64,
    /// Rows compared.
    pub rows: usize,
    /// The engine's version.
    pub engine_version: String,
}

/// Where a bundle comes from. Free of times and host names, so that the same export gives the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Program and version that wrote the bundle.
    pub producer: String,
    /// SHA-256, in hex, of the weights it was made of.
    pub weights_sha256: String,
    /// Parameters of the model.
    pub parameters: u64,
    /// How the weights were trained, as far as the checkpoint says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub training: BTreeMap<String, String>,
}

impl Manifest {
    /// The text of `manifest.json`.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a struct of plain fields is JSON");
        text.push('\n');
        text
    }

    /// The artifact of a variant in a precision.
    pub fn artifact(&self, variant: Variant, precision: Precision) -> Option<&Artifact> {
        self.artifacts.iter().find(|a| a.variant == variant && a.precision == precision)
    }
}
