//! How weights follow gradients, and for how long.

use mbsd_net::Arithmetic;
use serde::{Deserialize, Serialize};

/// An optimizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerName {
    /// Adam with decay and a trust ratio per tensor (You et al., 2020); the paper's.
    Lamb,
    /// Adam with decoupled decay.
    AdamW,
}

/// How weights follow gradients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerSettings {
    /// `lamb` or `adamw`.
    pub name: OptimizerName,
    /// The highest learning rate, reached after warm-up.
    pub learning_rate: f64,
    /// Decay of the two moments.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decay of weights; biases and LayerNorms have none.
    pub weight_decay: f64,
    /// Share of the steps over which the rate rises from 0; it falls linearly to 0 over the rest.
    pub warm_up: f64,
    /// Largest norm of all gradients together; 0 switches clipping off.
    pub clip_norm: f64,
    /// Batches whose gradients make one step.
    pub accumulation: usize,
}

impl Default for OptimizerSettings {
    fn default() -> Self {
        Self {
            name: OptimizerName::Lamb,
            learning_rate: 2e-4,
            betas: [0.9, 0.98],
            epsilon: 1e-6,
            weight_decay: 0.01,
            warm_up: 0.1,
            clip_norm: 1.0,
            accumulation: 1,
        }
    }
}

/// What the patchify network and the encoder compute in; weights are single precision in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArithmeticName {
    /// Single precision.
    #[default]
    F32,
    /// bfloat16.
    Bf16,
}

impl From<ArithmeticName> for Arithmetic {
    fn from(name: ArithmeticName) -> Self {
        match name {
            ArithmeticName::F32 => Self::F32,
            ArithmeticName::Bf16 => Self::Bf16,
        }
    }
}

/// How long to train, on what batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingSettings {
    /// Passes over the products or pairs.
    pub epochs: usize,
    /// Rows of a batch.
    pub batch_size: usize,
    /// Share of batches without titles (fine-tuning).
    #[serde(default = "default_removal")]
    pub without_text: f64,
    /// Share of batches without images (fine-tuning).
    #[serde(default = "default_removal")]
    pub without_image: f64,
    /// Whether half of the images are mirrored.
    #[serde(default = "yes")]
    pub flip: bool,
    /// The smallest share of an image's area that a random part of it has; 1 takes whole images.
    #[serde(default = "default_crop")]
    pub crop: f64,
    /// Probability mass moved from the label to all labels (fine-tuning).
    #[serde(default)]
    pub label_smoothing: f64,
    /// What patchify network and encoder compute in.
    #[serde(default)]
    pub arithmetic: ArithmeticName,
    /// Steps between lines of `metrics.jsonl`.
    #[serde(default = "default_log_every")]
    pub log_every: usize,
    /// Minutes between checkpoints within an epoch; there is one after each epoch in any case.
    #[serde(default = "default_minutes")]
    pub checkpoint_minutes: f64,
    /// Steps between checkpoints within an epoch; none by steps by default.
    pub checkpoint_steps: Option<usize>,
    /// Checkpoints to keep besides the best: the newest, as `last`, and those before it, as `step-N`.
    #[serde(default = "default_keep")]
    pub keep: usize,
}

fn yes() -> bool {
    true
}
fn default_removal() -> f64 {
    0.2
}
fn default_crop() -> f64 {
    1.0
}
fn default_log_every() -> usize {
    50
}
fn default_minutes() -> f64 {
    10.0
}
fn default_keep() -> usize {
    1
}
