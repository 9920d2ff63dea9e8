//! The keys of a run file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use mbsd_net::STANDARD_DEVIATION;
use mbsd_spec::{Config, Task};
use serde::{Deserialize, Serialize};

use crate::TrainError;

/// One training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// `match` or `classification`.
    pub task: Task,
    /// Folder of the checkpoints and of `metrics.jsonl`.
    pub output: PathBuf,
    /// Decides every random choice of the run.
    #[serde(default)]
    pub seed: u64,
    /// Dimensions, and weights to start from.
    #[serde(default)]
    pub model: ModelSettings,
    /// Text to token ids.
    pub tokenizer: TokenizerSettings,
    /// Products.
    pub data: DataSettings,
    /// Match rows; with `task = "match"` only.
    #[serde(rename = "match")]
    pub matching: Option<MatchSettings>,
    /// Labels; with `task = "classification"` only.
    pub classification: Option<ClassificationSettings>,
    /// Optimisation.
    #[serde(default)]
    pub optimizer: OptimizerSettings,
    /// Length of the run and what is done to the batches.
    pub training: TrainingSettings,
}

/// Dimensions of the model. What is not given comes from `config`, else from the paper's base model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSettings {
    /// A `config.json` to take dimensions from.
    pub config: Option<PathBuf>,
    /// Safetensors to start from: a BERT checkpoint, or a model of this project without its head.
    pub weights: Option<PathBuf>,
    /// Standard deviation of initial linear maps and kernels; 0.02, the paper's, by default.
    pub initializer_range: Option<f64>,
    /// Side of the image in pixels.
    pub image_size: Option<usize>,
    /// Side of a patch in pixels, 32 or 16.
    pub patch_size: Option<usize>,
    /// Width of a token vector.
    pub hidden_size: Option<usize>,
    /// Encoder layers.
    pub num_hidden_layers: Option<usize>,
    /// Attention heads.
    pub num_attention_heads: Option<usize>,
    /// Width of the feed-forward inner layer.
    pub intermediate_size: Option<usize>,
    /// Text positions.
    pub max_position_embeddings: Option<usize>,
    /// Dropout of embeddings and dense outputs.
    pub hidden_dropout_prob: Option<f64>,
    /// Dropout of attention weights.
    pub attention_probs_dropout_prob: Option<f64>,
}

/// Where the vocabulary comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerSettings {
    /// A `vocab.txt` or `tokenizer.json`; without it a vocabulary is trained on the training titles and tags.
    pub file: Option<PathBuf>,
    /// Entries of a trained vocabulary, at most.
    #[serde(default = "default_vocab_size")]
    pub vocab_size: usize,
    /// Whether a trained vocabulary ignores case.
    #[serde(default = "yes")]
    pub lowercase: bool,
}

/// Where products come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSettings {
    /// Parquet, JSON Lines, CSV or TSV.
    pub train: PathBuf,
    /// The same, never trained on.
    pub validation: PathBuf,
    /// Folder of image paths; beside the file by default.
    pub images: Option<PathBuf>,
    /// Column of the product id.
    #[serde(default = "default_id")]
    pub id_column: String,
    /// Column of the title.
    #[serde(default = "default_title")]
    pub title_column: String,
    /// Column of the image.
    #[serde(default = "default_image")]
    pub image_column: String,
    /// Tokens of a row, special tokens included; what the model allows by default.
    pub max_text_tokens: Option<usize>,
    /// Validation products used, the first ones; all by default.
    pub validation_products: Option<usize>,
    /// Memory for resized images, in MiB; what exceeds it is decoded again each epoch.
    #[serde(default = "default_cache")]
    pub cache_mib: usize,
    /// Share of rows that may be unusable before the run stops.
    #[serde(default = "default_bad_rows")]
    pub max_bad_rows: f64,
}

/// How match rows are made from attribute columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatchSettings {
    /// The tags to learn, `Name:value` each: .txt, one a line, or .json.
    pub tags: PathBuf,
    /// From a tag's name to the column that holds its values.
    pub attributes: BTreeMap<String, String>,
    /// Whether the words of the tags' values are taken out of titles, so that text alone does not give them away.
    #[serde(default = "yes")]
    pub redact_tags: bool,
    /// Further words to take out.
    #[serde(default)]
    pub redact: Vec<String>,
}

/// What to classify by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassificationSettings {
    /// Column of the label.
    pub label_column: String,
    /// The labels in class order, one a line; by default those of the training rows, sorted.
    pub labels: Option<PathBuf>,
}

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
        }
    }
}

/// How long to train, on what batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingSettings {
    /// Passes over the products.
    pub epochs: usize,
    /// Rows of a batch.
    pub batch_size: usize,
    /// Share of batches without titles.
    #[serde(default = "default_removal")]
    pub without_text: f64,
    /// Share of batches without images.
    #[serde(default = "default_removal")]
    pub without_image: f64,
    /// Whether half of the images are mirrored.
    #[serde(default = "yes")]
    pub flip: bool,
    /// Probability mass moved from the label to all labels.
    #[serde(default)]
    pub label_smoothing: f64,
    /// Steps between lines of `metrics.jsonl`.
    #[serde(default = "default_log_every")]
    pub log_every: usize,
}

fn yes() -> bool {
    true
}
fn default_vocab_size() -> usize {
    8000
}
fn default_id() -> String {
    "id".into()
}
fn default_title() -> String {
    "title".into()
}
fn default_image() -> String {
    "image".into()
}
fn default_cache() -> usize {
    2048
}
fn default_bad_rows() -> f64 {
    0.05
}
fn default_removal() -> f64 {
    0.2
}
fn default_log_every() -> usize {
    50
}

impl ModelSettings {
    /// The model's dimensions over a vocabulary.
    ///
    /// # Errors
    /// If `config` cannot be read or the dimensions do not fit together.
    pub fn config(&self, vocab_size: usize) -> Result<Config, TrainError> {
        let base = match &self.config {
            Some(path) => Config::from_file(path)?,
            None => Config::base(),
        };
        let config = Config {
            vocab_size,
            hidden_size: self.hidden_size.unwrap_or(base.hidden_size),
            num_hidden_layers: self.num_hidden_layers.unwrap_or(base.num_hidden_layers),
            num_attention_heads: self.num_attention_heads.unwrap_or(base.num_attention_heads),
            intermediate_size: self.intermediate_size.unwrap_or(base.intermediate_size),
            max_position_embeddings: self.max_position_embeddings.unwrap_or(base.max_position_embeddings),
            hidden_dropout_prob: self.hidden_dropout_prob.unwrap_or(base.hidden_dropout_prob),
            attention_probs_dropout_prob: self
                .attention_probs_dropout_prob
                .unwrap_or(base.attention_probs_dropout_prob),
            image_size: self.image_size.unwrap_or(base.image_size),
            patch_size: self.patch_size.unwrap_or(base.patch_size),
            ..base
        };
        Ok(config.validated()?)
    }
}

impl Run {
    /// Checks what can be checked without reading data.
    pub(super) fn check(&self) -> Result<(), TrainError> {
        let wrong = |place: &str, reason: String| Err(TrainError::run(place, reason));
        match (self.task, &self.matching, &self.classification) {
            (Task::Match, Some(settings), None) => {
                if settings.attributes.is_empty() {
                    return wrong(
                        "match.attributes",
                        "name the columns of the tags, such as { Colour = \"colour\" }".into(),
                    );
                }
            }
            (Task::Classification, None, Some(_)) => {}
            (Task::Alignment, ..) => {
                return wrong(
                    "task",
                    "`alignment` cannot be fine-tuned by this version: use match or classification".into(),
                );
            }
            (task, ..) => {
                return wrong("task", format!("`{task}` needs the table [{task}], and no table of another task"));
            }
        }
        // A vocabulary as large as any, so that the other dimensions are checked before one is trained.
        self.model.config(self.tokenizer.vocab_size.max(1))?;
        let share = |place: &str, value: f64, most: f64| {
            if (0.0..=most).contains(&value) {
                Ok(())
            } else {
                wrong(place, format!("{value} is not between 0 and {most}"))
            }
        };
        let positive = |place: &str, value: usize| if value > 0 { Ok(()) } else { wrong(place, "0 is too few".into()) };
        let training = &self.training;
        positive("training.epochs", training.epochs)?;
        positive("training.batch_size", training.batch_size)?;
        positive("training.log_every", training.log_every)?;
        share("training.without_text", training.without_text, 1.0)?;
        share("training.without_image", training.without_image, 1.0)?;
        share("training.without_text + training.without_image", training.without_text + training.without_image, 1.0)?;
        share("training.label_smoothing", training.label_smoothing, 0.5)?;
        share("data.max_bad_rows", self.data.max_bad_rows, 1.0)?;
        let optimizer = &self.optimizer;
        share("optimizer.warm_up", optimizer.warm_up, 1.0)?;
        share("optimizer.betas", optimizer.betas[0], 0.999_999)?;
        share("optimizer.betas", optimizer.betas[1], 0.999_999)?;
        share("optimizer.weight_decay", optimizer.weight_decay, 1.0)?;
        share("optimizer.clip_norm", optimizer.clip_norm, 1e9)?;
        for (place, value) in [
            ("optimizer.learning_rate", optimizer.learning_rate),
            ("optimizer.epsilon", optimizer.epsilon),
            ("model.initializer_range", self.model.initializer_range.unwrap_or(STANDARD_DEVIATION)),
        ] {
            if !(value > 0.0 && value < 1.0) {
                return wrong(place, format!("{value} is not between 0 and 1"));
            }
        }
        let files = [Some(&self.data.train), Some(&self.data.validation), self.data.images.as_ref()]
            .into_iter()
            .chain([self.model.config.as_ref(), self.model.weights.as_ref(), self.tokenizer.file.as_ref()])
            .chain([self.matching.as_ref().map(|settings| &settings.tags)])
            .chain([self.classification.as_ref().and_then(|settings| settings.labels.as_ref())]);
        for path in files.flatten() {
            std::fs::metadata(path).map_err(TrainError::io("read", path))?;
        }
        Ok(())
    }
}
