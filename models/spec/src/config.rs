//! The architecture of a model: a transformers `BertConfig` plus the image fields.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Task, Variant};

/// Segments (`token_type_ids`) the text side knows: tag or query, and title.
pub const SEGMENTS: usize = 2;

/// Modality vectors added after the embeddings: text 0, image 1.
pub const MODALITIES: usize = 2;

/// Text tokens a served row has at most, `[CLS]` and `[SEP]` included (paper, section 4.3).
pub const MAX_TEXT_TOKENS: usize = 144;

/// `[CLS]`, a token and `[SEP]`.
const LEAST_TEXT_TOKENS: usize = 3;

/// Where titles begin under one-way attention, if a configuration says nothing else.
pub const DEFAULT_TITLE_POSITION: usize = 32;

/// The `eps` of the patchify network's channel LayerNorms.
pub const CONV_LAYER_NORM_EPS: f64 = 1e-6;

/// The validated architecture of a model.
///
/// Read with [`Config::from_file`] or [`Config::from_json`] from a transformers `config.json`:
/// fields that do not change the forward are ignored, values that cannot be honoured are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ConfigFile")]
pub struct Config {
    /// Entries of the word embedding.
    pub vocab_size: usize,
    /// Width of every token vector.
    pub hidden_size: usize,
    /// Encoder layers.
    pub num_hidden_layers: usize,
    /// Attention heads; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Width of the feed-forward inner layer.
    pub intermediate_size: usize,
    /// Entries of the text position embedding.
    pub max_position_embeddings: usize,
    /// `eps` of the encoder's LayerNorms.
    pub layer_norm_eps: f64,
    /// Dropout probability of embeddings and of dense outputs, in training.
    pub hidden_dropout_prob: f64,
    /// Dropout probability of attention weights, in training.
    pub attention_probs_dropout_prob: f64,
    /// Side of the square input image, in pixels; a multiple of `patch_size`.
    pub image_size: usize,
    /// Side of a square patch, in pixels: 32 or 16.
    pub patch_size: usize,
    /// Channels of the input image: 3.
    pub num_channels: usize,
    /// How pixels become patch vectors.
    #[serde(skip_serializing_if = "Patchify::is_default")]
    pub patchify: Patchify,
    /// Which network has these dimensions.
    #[serde(skip_serializing_if = "Architecture::is_default")]
    pub architecture: Architecture,
    /// Which tokens see which where a tag or query comes with a product.
    #[serde(flatten, skip_serializing_if = "Attention::is_default")]
    pub attention: Attention,
    /// Text tokens a row may have, where the model was trained with fewer than [`MAX_TEXT_TOKENS`] and its positions allow.
    #[serde(rename = "max_text_tokens", skip_serializing_if = "Option::is_none")]
    pub text_limit: Option<usize>,
    /// Always `bert`: written for programs that choose a reader by it.
    pub model_type: ModelType,
    /// Always `gelu`: the exact (erf) form.
    pub hidden_act: Activation,
    /// Segments the text side knows, always 2.
    pub type_vocab_size: usize,
}

/// The one architecture family there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelType {
    /// A post-LN BERT encoder.
    #[default]
    Bert,
}

/// The one activation there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// `x * Phi(x)` with the error function.
    #[default]
    Gelu,
}

/// How pixels become patch vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Patchify {
    /// Four convolutions with LayerNorms and ReLUs between them (paper, section 3.2).
    #[default]
    Cnn,
    /// One linear map of a patch's pixels (paper, section 4.7.2).
    Linear,
}

impl Patchify {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A network: MBSD, or one that it is compared with (paper, section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// The paper's model.
    #[default]
    Mbsd,
    /// BERT: reads text only.
    Bert,
    /// ViT: reads images only, and tags from a table.
    Vit,
    /// ViLT: reads text and image together.
    Vilt,
}

impl Architecture {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The inputs that it can read, the one it is judged by first.
    pub fn variants(self) -> &'static [Variant] {
        match self {
            Self::Mbsd => &Variant::ENCODERS,
            Self::Bert => &[Variant::Text],
            Self::Vit => &[Variant::Image],
            Self::Vilt => &[Variant::Full],
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mbsd => "MBSD",
            Self::Bert => "BERT",
            Self::Vit => "ViT",
            Self::Vilt => "ViLT",
        })
    }
}

/// Which tokens see which where a tag or query comes with a product. Weights of one form load in the other, but answer well only
/// in the form they were trained in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(tag = "attention", rename_all = "kebab-case")]
pub enum Attention {
    /// Each token sees all others (paper, section 3.3).
    #[default]
    Full,
    /// Title and image see themselves only, and are the same for every tag; a tag's tokens see them and themselves.
    OneWay {
        /// Position of the title's first token. A tag's positions start at 0, so that it has at most as many tokens, `[CLS]`
        /// and `[SEP]` included.
        title_position: usize,
    },
}

impl Attention {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The position of the title, where it does not follow the tag.
    pub fn title_position(self) -> Option<usize> {
        match self {
            Self::Full => None,
            Self::OneWay { title_position } => Some(title_position),
        }
    }
}

/// The forms of attention by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttentionName {
    /// [`Attention::Full`].
    #[default]
    Full,
    /// [`Attention::OneWay`].
    OneWay,
}

impl AttentionName {
    /// The form of this name, the title at a position of its own where it has one.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for a position of the title under full attention, which has none.
    pub fn with(self, title_position: Option<usize>) -> Result<Attention, ConfigError> {
        match (self, title_position) {
            (Self::Full, None) => Ok(Attention::Full),
            (Self::Full, Some(_)) => Err(ConfigError::Value {
                field: "title_position",
                reason: "titles have a position of their own with `attention` one-way only".into(),
            }),
            (Self::OneWay, given) => Ok(Attention::OneWay { title_position: given.unwrap_or(DEFAULT_TITLE_POSITION) }),
        }
    }
}

/// A configuration that cannot be read or honoured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is not JSON, a field is missing or has the wrong type.
    #[error("not a model configuration: {0}")]
    Syntax(#[from] serde_json::Error),
    /// A file's text is not one of a configuration.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with its text.
        error: Box<ConfigError>,
    },
    /// A value this project's forward cannot honour.
    #[error("configuration field `{field}`: {reason}")]
    Value {
        /// The field's name.
        field: &'static str,
        /// What is wrong with it and what would do.
        reason: String,
    },
}

impl Config {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::from_json(&text).map_err(|error| ConfigError::File { path: path.to_owned(), error: Box::new(error) })
    }

    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let file: ConfigFile = serde_json::from_str(text)?;
        Self::try_from(file)
    }

    /// The text of a `config.json`, with a closing newline.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a struct of plain fields is JSON");
        text.push('\n');
        text
    }

    /// The size of the paper: BERT base over 224 x 224 pixels in patches of 32.
    pub fn base() -> Self {
        Self {
            vocab_size: 21128,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            max_position_embeddings: 512,
            layer_norm_eps: 1e-12,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            image_size: 224,
            patch_size: 32,
            num_channels: 3,
            patchify: Patchify::Cnn,
            architecture: Architecture::Mbsd,
            attention: Attention::Full,
            text_limit: None,
            model_type: ModelType::Bert,
            hidden_act: Activation::Gelu,
            type_vocab_size: SEGMENTS,
        }
    }

    /// Patches an image is cut into.
    pub fn patches(&self) -> usize {
        let side = self.image_size / self.patch_size;
        side * side
    }

    /// Tokens an image takes: its `[CLS]` and its patches.
    pub fn image_tokens(&self) -> usize {
        1 + self.patches()
    }

    /// Width of one attention head.
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// Text tokens a row may have, `[CLS]` and `[SEP]` included.
    pub fn max_text_tokens(&self) -> usize {
        let most = MAX_TEXT_TOKENS.min(self.max_position_embeddings);
        self.text_limit.map_or(most, |limit| limit.min(most))
    }

    /// Where titles begin in a model for `task`, if its products are read apart from tags: one-way attention is between a tag or
    /// query and a product, and other tasks have neither.
    pub fn title_position(&self, task: Task) -> Option<usize> {
        self.attention.title_position().filter(|_| task == Task::Match)
    }

    /// Checks every field against the others.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for the first field that does not fit.
    pub fn validated(self) -> Result<Self, ConfigError> {
        let fail = |field, reason: String| Err(ConfigError::Value { field, reason });
        for (field, value) in [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("image_size", self.image_size),
        ] {
            if value == 0 || value > 1 << 24 {
                return fail(field, format!("{value} is not between 1 and {}", 1 << 24));
            }
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return fail(
                "num_attention_heads",
                format!("{} heads do not divide {} hidden units", self.num_attention_heads, self.hidden_size),
            );
        }
        if !matches!(self.patch_size, 16 | 32) {
            return fail("patch_size", format!("{} has no patchify stem, use 32 or 16", self.patch_size));
        }
        if !self.image_size.is_multiple_of(self.patch_size) || self.image_size > 4096 {
            return fail(
                "image_size",
                format!("{} is not a multiple of patch_size {} up to 4096", self.image_size, self.patch_size),
            );
        }
        if let Some(limit) = self.text_limit {
            let most = MAX_TEXT_TOKENS.min(self.max_position_embeddings);
            if !(LEAST_TEXT_TOKENS..=most).contains(&limit) {
                return fail("max_text_tokens", format!("{limit} is not between {LEAST_TEXT_TOKENS} and {most}"));
            }
        }
        if let Attention::OneWay { title_position } = self.attention {
            if self.architecture != Architecture::Mbsd {
                return fail("attention", format!("one-way attention is a form of MBSD, not of {}", self.architecture));
            }
            // `[CLS]` and `[SEP]` with a token between them, and two tokens of a title and `[SEP]`.
            let last = self.max_text_tokens().saturating_sub(3);
            if !(3..=last).contains(&title_position) {
                return fail(
                    "title_position",
                    format!("{title_position} is not between 3 and {last}, which leaves room for a tag and a title"),
                );
            }
        }
        if self.num_channels != 3 {
            return fail("num_channels", format!("{} is not 3 (RGB)", self.num_channels));
        }
        if self.type_vocab_size != SEGMENTS {
            return fail(
                "type_vocab_size",
                format!("{} is not {SEGMENTS} (tag or query, title)", self.type_vocab_size),
            );
        }
        if !(self.layer_norm_eps > 0.0 && self.layer_norm_eps < 1.0) {
            return fail("layer_norm_eps", format!("{} is not between 0 and 1", self.layer_norm_eps));
        }
        for (field, value) in [
            ("hidden_dropout_prob", self.hidden_dropout_prob),
            ("attention_probs_dropout_prob", self.attention_probs_dropout_prob),
        ] {
            if !(0.0..1.0).contains(&value) {
                return fail(field, format!("{value} is not a probability below 1"));
            }
        }
        Ok(self)
    }
}

/// A `config.json` as it lies on disk. Foreign fields are ignored unless they change the forward.
#[derive(Debug, Deserialize)]
struct ConfigFile {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    #[serde(default = "default_layer_norm_eps")]
    layer_norm_eps: f64,
    #[serde(default = "default_dropout")]
    hidden_dropout_prob: f64,
    #[serde(default = "default_dropout")]
    attention_probs_dropout_prob: f64,
    #[serde(default = "default_image_size")]
    image_size: usize,
    #[serde(default = "default_patch_size")]
    patch_size: usize,
    #[serde(default = "default_channels")]
    num_channels: usize,
    #[serde(default)]
    patchify: Patchify,
    #[serde(default)]
    architecture: Architecture,
    #[serde(default)]
    attention: AttentionName,
    title_position: Option<usize>,
    max_text_tokens: Option<usize>,
    #[serde(default = "default_segments")]
    type_vocab_size: usize,
    model_type: Option<String>,
    hidden_act: Option<String>,
    position_embedding_type: Option<String>,
    is_decoder: Option<bool>,
    add_cross_attention: Option<bool>,
}

fn default_layer_norm_eps() -> f64 {
    1e-12
}
fn default_dropout() -> f64 {
    0.1
}
fn default_image_size() -> usize {
    224
}
fn default_patch_size() -> usize {
    32
}
fn default_channels() -> usize {
    3
}
fn default_segments() -> usize {
    SEGMENTS
}

impl TryFrom<ConfigFile> for Config {
    type Error = ConfigError;

    fn try_from(file: ConfigFile) -> Result<Self, ConfigError> {
        let only = |field, given: Option<String>, wanted: &str| match given {
            Some(given) if given != wanted => {
                Err(ConfigError::Value { field, reason: format!("`{given}` is not supported, only `{wanted}`") })
            }
            _ => Ok(()),
        };
        only("model_type", file.model_type, "bert")?;
        only("hidden_act", file.hidden_act, "gelu")?;
        only("position_embedding_type", file.position_embedding_type, "absolute")?;
        for (field, given) in [("is_decoder", file.is_decoder), ("add_cross_attention", file.add_cross_attention)] {
            if given == Some(true) {
                return Err(ConfigError::Value {
                    field,
                    reason: "true is not supported, the model is an encoder".into(),
                });
            }
        }
        Self {
            vocab_size: file.vocab_size,
            hidden_size: file.hidden_size,
            num_hidden_layers: file.num_hidden_layers,
            num_attention_heads: file.num_attention_heads,
            intermediate_size: file.intermediate_size,
            max_position_embeddings: file.max_position_embeddings,
            layer_norm_eps: file.layer_norm_eps,
            hidden_dropout_prob: file.hidden_dropout_prob,
            attention_probs_dropout_prob: file.attention_probs_dropout_prob,
            image_size: file.image_size,
            patch_size: file.patch_size,
            num_channels: file.num_channels,
            patchify: file.patchify,
            architecture: file.architecture,
            attention: file.attention.with(file.title_position)?,
            text_limit: file.max_text_tokens,
            model_type: ModelType::Bert,
            hidden_act: Activation::Gelu,
            type_vocab_size: file.type_vocab_size,
        }
        .validated()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_it_writes() {
        let config = Config::base();
        assert_eq!(Config::from_json(&config.to_json()).unwrap(), config);
        assert_eq!(config.image_tokens(), 50);
        assert_eq!(config.head_size(), 64);
        assert_eq!(config.max_text_tokens(), 144);
        assert!(!config.to_json().contains("max_text_tokens"));
        let limited = Config { text_limit: Some(40), ..config };
        assert_eq!(Config::from_json(&limited.to_json()).unwrap(), limited);
        assert_eq!(limited.max_text_tokens(), 40);
    }

    #[test]
    fn the_patchify_network_is_named_where_it_is_not_the_papers() {
        assert!(!Config::base().to_json().contains("patchify"));
        let linear = Config { patchify: Patchify::Linear, ..Config::base() };
        assert!(linear.to_json().contains(r#""patchify": "linear""#));
        assert_eq!(Config::from_json(&linear.to_json()).unwrap(), linear);
        let vilt = Config { architecture: Architecture::Vilt, ..Config::base() };
        assert!(!Config::base().to_json().contains("architecture"));
        assert_eq!(Config::from_json(&vilt.to_json()).unwrap(), vilt);
        let error = Config::from_json(&linear.to_json().replace("linear", "vit")).unwrap_err().to_string();
        assert!(error.contains("unknown variant `vit`"), "{error}");
    }

    #[test]
    fn one_way_attention_has_a_position_for_titles() {
        assert!(!Config::base().to_json().contains("attention\""));
        let one_way = Config { attention: Attention::OneWay { title_position: 20 }, ..Config::base() };
        let json = one_way.to_json();
        assert!(json.contains(r#""attention": "one-way""#) && json.contains(r#""title_position": 20"#), "{json}");
        assert_eq!(Config::from_json(&json).unwrap(), one_way);
        let default = Config::from_json(&json.replace(r#""title_position": 20,"#, "")).unwrap();
        assert_eq!(default.attention, Attention::OneWay { title_position: DEFAULT_TITLE_POSITION });
        for (from, to, message) in [
            ("20", "143", "`title_position`: 143 is not between 3 and 141"),
            ("one-way", "full", "`title_position`: titles have a position of their own with `attention` one-way only"),
            ("one-way", "causal", "unknown variant `causal`"),
        ] {
            let error = Config::from_json(&json.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn a_bert_config_with_foreign_fields_is_read() {
        let text = r#"{"architectures": ["BertForMaskedLM"], "attention_probs_dropout_prob": 0.1, "directionality": "bidi",
            "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 768, "initializer_range": 0.02,
            "intermediate_size": 3072, "layer_norm_eps": 1e-12, "max_position_embeddings": 512, "model_type": "bert",
            "num_attention_heads": 12, "num_hidden_layers": 12, "pad_token_id": 0, "type_vocab_size": 2, "vocab_size": 21128}"#;
        assert_eq!(Config::from_json(text).unwrap(), Config::base());
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        for (change, message) in [
            (r#""hidden_act": "relu""#, "configuration field `hidden_act`: `relu` is not supported, only `gelu`"),
            (r#""patch_size": 8"#, "configuration field `patch_size`: 8 has no patchify stem, use 32 or 16"),
            (
                r#""num_attention_heads": 7"#,
                "configuration field `num_attention_heads`: 7 heads do not divide 768 hidden units",
            ),
            (
                r#""is_decoder": true"#,
                "configuration field `is_decoder`: true is not supported, the model is an encoder",
            ),
            (
                r#""image_size": 100"#,
                "configuration field `image_size`: 100 is not a multiple of patch_size 32 up to 4096",
            ),
        ] {
            let mut value: serde_json::Value = serde_json::from_str(&Config::base().to_json()).unwrap();
            let change: serde_json::Value = serde_json::from_str(&format!("{{{change}}}")).unwrap();
            value.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            assert_eq!(Config::from_json(&value.to_string()).unwrap_err().to_string(), message);
        }
        assert!(Config::from_json("{}").unwrap_err().to_string().contains("vocab_size"));
    }
}
