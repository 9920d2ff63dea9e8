//! The keys of a run file.

use std::path::PathBuf;

use mbsd_data::{AbsentImages, Ids, ProductOptions};
use mbsd_spec::config::AttentionName;
use mbsd_spec::{Architecture, Attention, Config, Patchify};
use serde::{Deserialize, Serialize};

use super::objective::{
    AlignmentSettings, ClassificationSettings, MatchSettings, Objective, Recipe, Stage1Settings, Stage2Settings,
    TeacherSettings,
};
use super::training::{OptimizerSettings, TrainingSettings};
use crate::TrainError;
use crate::checkpoint::read_config;

/// One training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// What is minimised.
    pub objective: Objective,
    /// Folder of the checkpoints, of `metrics.jsonl` and of `curves.html`.
    pub output: PathBuf,
    /// Decides every random choice of the run.
    #[serde(default)]
    pub seed: u64,
    /// Whether pre-training follows the paper or the released code where they differ.
    #[serde(default)]
    pub recipe: Recipe,
    /// Dimensions, and weights to start from.
    #[serde(default)]
    pub model: ModelSettings,
    /// Text to token ids.
    #[serde(default)]
    pub tokenizer: TokenizerSettings,
    /// Products.
    pub data: DataSettings,
    /// What stage 1 hides; with `objective = "stage1"` only.
    pub stage1: Option<Stage1Settings>,
    /// Query-product pairs and losses; with `objective = "stage2"` only.
    pub stage2: Option<Stage2Settings>,
    /// Match rows; with `objective = "match"` only.
    #[serde(rename = "match")]
    pub matching: Option<MatchSettings>,
    /// Labels; with `objective = "classification"` only.
    pub classification: Option<ClassificationSettings>,
    /// Pairs of products; with `objective = "alignment"` only.
    pub alignment: Option<AlignmentSettings>,
    /// A model to learn from as well; for tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher: Option<TeacherSettings>,
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
    /// A checkpoint of an earlier stage: its dimensions, its tokenizer and its weights but for the head.
    pub checkpoint: Option<PathBuf>,
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
    /// `mbsd`, or a network that it is compared with: `bert`, `vit` or `vilt`.
    pub architecture: Option<Architecture>,
    /// `cnn`, the paper's, or `linear`: one linear map of a patch's pixels (Table 6, row 5).
    pub patchify: Option<Patchify>,
    /// Which tokens see which where a tag or query comes with a product.
    pub attention: Option<AttentionName>,
    /// Where titles begin under one-way attention.
    pub title_position: Option<usize>,
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
#[serde(deny_unknown_fields, default)]
pub struct TokenizerSettings {
    /// A `vocab.txt` or `tokenizer.json`. Without it that of `model.checkpoint` is taken, else the teacher's, and without one a
    /// vocabulary is trained on the training titles, tags and queries.
    pub file: Option<PathBuf>,
    /// Entries of a trained vocabulary, at most.
    pub vocab_size: usize,
    /// Whether a trained vocabulary ignores case.
    pub lowercase: bool,
}

impl Default for TokenizerSettings {
    fn default() -> Self {
        Self { file: None, vocab_size: 8000, lowercase: true }
    }
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
    /// Tokens of a row, special tokens included, which the model keeps; what its dimensions allow by default.
    pub max_text_tokens: Option<usize>,
    /// Validation products used, the first ones; all by default.
    pub validation_products: Option<usize>,
    /// Memory for resized images, in MiB; what exceeds it stays encoded, on the disk, and is decoded again each epoch.
    #[serde(default = "default_cache")]
    pub cache_mib: usize,
    /// Where ids come from.
    #[serde(default)]
    pub ids: IdSource,
    /// What becomes of images that cannot be had.
    #[serde(default)]
    pub absent_images: AbsentImages,
    /// The columns of CSV and TSV files without a header line, from left to right.
    pub header: Option<Vec<String>>,
    /// Share of rows that may be unusable before the run stops.
    #[serde(default = "default_bad_rows")]
    pub max_bad_rows: f64,
}

/// Where the ids of products come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdSource {
    /// The id column.
    #[default]
    Column,
    /// The row's number: for files without ids, such as the paper's samples.
    Rows,
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

impl DataSettings {
    /// How products lie in its files.
    pub fn products(&self) -> ProductOptions {
        ProductOptions {
            id_column: self.id_column.clone(),
            title_column: self.title_column.clone(),
            image_column: self.image_column.clone(),
            named_columns_exist: true,
            images: self.images.clone(),
            ids: if self.ids == IdSource::Rows { Ids::Rows(String::new()) } else { Ids::Column },
            absent_images: self.absent_images,
            header: self.header.clone(),
            ..ProductOptions::default()
        }
    }
}

impl Run {
    /// The model's configuration over a vocabulary.
    ///
    /// # Errors
    /// As [`ModelSettings::config`].
    pub fn config(&self, vocab_size: usize) -> Result<Config, TrainError> {
        let config = self.model.config(vocab_size)?;
        let limited = Config { text_limit: self.data.max_text_tokens, ..config }.validated();
        limited.map_err(|error| TrainError::run("data.max_text_tokens", error.to_string()))
    }
}

impl ModelSettings {
    /// The model's dimensions over a vocabulary, with texts as long as those allow.
    ///
    /// # Errors
    /// If `config` or the checkpoint's cannot be read or the dimensions do not fit together.
    pub fn config(&self, vocab_size: usize) -> Result<Config, TrainError> {
        let base = match (&self.config, &self.checkpoint) {
            (Some(path), _) => Config::from_file(path)?,
            (None, Some(folder)) => read_config(folder)?,
            (None, None) => Config::base(),
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
            patchify: self.patchify.unwrap_or(base.patchify),
            architecture: self.architecture.unwrap_or(base.architecture),
            attention: self.attention(base.attention)?,
            text_limit: None,
            ..base
        };
        Ok(config.validated()?)
    }

    /// What is not given is as in `base`.
    fn attention(&self, base: Attention) -> Result<Attention, TrainError> {
        let name = self.attention.unwrap_or(match base {
            Attention::Full => AttentionName::Full,
            Attention::OneWay { .. } => AttentionName::OneWay,
        });
        let inherited = base.title_position().filter(|_| name == AttentionName::OneWay);
        Ok(name.with(self.title_position.or(inherited))?)
    }
}
