//! What a run minimises, and the tables of a run file that belong to it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use mbsd_data::ProductPairOptions;
use mbsd_spec::{Architecture, Config, Task};
use serde::{Deserialize, Serialize};

use super::settings::DataSettings;
use crate::TrainError;
use crate::data::PatchMasking;
use crate::objective::sdmi::{Average, KlDirection, SdmiSettings};
use crate::objective::stage1::PatchLoss;

/// The column of labels, unless another is named.
const LABEL: &str = "label";

/// What a run minimises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Objective {
    /// Masked tokens and patches (paper, section 3.4).
    Stage1,
    /// Queries matched with products, the stronger modality teaching the weaker (section 3.6).
    Stage2,
    /// Tags matched with products (section 4.4).
    Match,
    /// Products put into classes (section 4.6).
    Classification,
    /// Products compared with one another (section 4.5).
    Alignment,
}

impl Objective {
    /// Its name in a run file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stage1 => "stage1",
            Self::Stage2 => "stage2",
            Self::Match => "match",
            Self::Classification => "classification",
            Self::Alignment => "alignment",
        }
    }

    /// The task of the head a model has under it. Stage 1 does not train its head.
    pub fn task(self) -> Task {
        match self {
            Self::Stage1 | Self::Stage2 | Self::Match => Task::Match,
            Self::Classification => Task::Classification,
            Self::Alignment => Task::Alignment,
        }
    }

    /// Whether it is one of the tasks that a pre-trained model is fine-tuned for.
    pub fn is_task(self) -> bool {
        !matches!(self, Self::Stage1 | Self::Stage2)
    }
}

impl std::fmt::Display for Objective {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Which of two accounts of pre-training is followed where they differ; single keys of `[stage1]` and `[stage2]` override
/// it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Recipe {
    /// The paper.
    #[default]
    Paper,
    /// The code its authors released.
    Released,
}

impl Recipe {
    /// Its name in a run file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Released => "released",
        }
    }
}

/// What stage 1 hides and how it counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stage1Settings {
    /// Share of the tokens to predict.
    pub tokens: f64,
    /// Share of an image's patches to predict.
    pub patches: f64,
    /// What stands for a patch to be predicted; the recipe's by default.
    pub patch_masking: Option<PatchMasking>,
    /// How a patch's error becomes a number.
    pub patch_loss: PatchLoss,
}

impl Default for Stage1Settings {
    fn default() -> Self {
        Self { tokens: 0.15, patches: 0.5, patch_masking: None, patch_loss: PatchLoss::Mean }
    }
}

impl Stage1Settings {
    /// What stands for a patch to be predicted.
    pub fn patch_masking(&self, recipe: Recipe) -> PatchMasking {
        self.patch_masking.unwrap_or(match recipe {
            Recipe::Paper => PatchMasking::MaskVector,
            Recipe::Released => PatchMasking::Mixed,
        })
    }
}

/// Query-product pairs, and what stage 2 minimises.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage2Settings {
    /// Pairs over the training products: columns `product`, `query`, `label`.
    pub pairs: Option<PathBuf>,
    /// Pairs over the validation products.
    pub validation_pairs: Option<PathBuf>,
    /// Instead of pairs, the column of the products' own files with the query.
    pub query_column: Option<String>,
    /// Beside it, the column with the label, `label` by default.
    pub label_column: Option<String>,
    /// Pairs drawn for each epoch; all by default.
    pub pairs_per_epoch: Option<usize>,
    /// Direction of the divergence; the recipe's by default.
    pub kl_direction: Option<KlDirection>,
    /// What the distillation losses are averaged over; the recipe's by default.
    pub average: Option<Average>,
    /// Whether L_QT and L_QV count (Table 6, row 6).
    #[serde(default = "yes")]
    pub uni_modal: bool,
    /// Whether L_KL and L_RS count (Table 6, row 7).
    #[serde(default = "yes")]
    pub distillation: bool,
    /// Whether Eq. 9 weighs them (Table 6, row 8).
    #[serde(default = "yes")]
    pub adaptive_weight: bool,
}

impl Stage2Settings {
    /// The losses they ask for.
    pub fn sdmi(&self, recipe: Recipe) -> SdmiSettings {
        let base = match recipe {
            Recipe::Paper => SdmiSettings::paper(),
            Recipe::Released => SdmiSettings::released(),
        };
        SdmiSettings {
            kl_direction: self.kl_direction.unwrap_or(base.kl_direction),
            average: self.average.unwrap_or(base.average),
            use_uni_modal: self.uni_modal,
            use_distillation: self.distillation,
            adaptive_weight: self.adaptive_weight,
        }
    }
}

/// How match rows come about: from attribute columns of the products, from labelled pairs, or from a tag in each row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatchSettings {
    /// The tags to learn, `Name:value` each: .txt, one a line, or .json. With `attributes`.
    pub tags: Option<PathBuf>,
    /// From a tag's name to the column that holds its values.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// Labelled pairs over the training products instead: columns `product`, `tag`, `label`.
    pub pairs: Option<PathBuf>,
    /// Labelled pairs over the validation products.
    pub validation_pairs: Option<PathBuf>,
    /// Or the column of the products' own files with the tag.
    pub tag_column: Option<String>,
    /// Beside it, the column with the label, `label` by default.
    pub label_column: Option<String>,
    /// Whether the words of the tags' values are taken out of titles, so that text alone does not give them away. With
    /// `attributes`.
    #[serde(default = "yes")]
    pub redact_tags: bool,
    /// Further words to take out.
    #[serde(default)]
    pub redact: Vec<String>,
    /// Tags drawn for each product and epoch. With `attributes`.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub tags_per_product: usize,
}

/// A column of text and one of labels, in that order, in the products' own files.
fn own_columns(text: Option<&String>, label: Option<&String>) -> Option<[String; 2]> {
    Some([text?.clone(), label.map_or_else(|| LABEL.to_owned(), String::clone)])
}

impl Stage2Settings {
    /// The columns of query and label, where each row has them.
    pub fn own_columns(&self) -> Option<[String; 2]> {
        own_columns(self.query_column.as_ref(), self.label_column.as_ref())
    }
}

impl MatchSettings {
    /// The columns of tag and label, where each row has them.
    pub fn own_columns(&self) -> Option<[String; 2]> {
        own_columns(self.tag_column.as_ref(), self.label_column.as_ref())
    }
}

impl AlignmentSettings {
    /// How the two products of a row lie in the products' files, where a row holds both.
    pub fn rows(&self, data: &DataSettings) -> Option<ProductPairOptions> {
        Some(ProductPairOptions {
            source_columns: self.source_columns.clone()?,
            target_columns: self.target_columns.clone()?,
            label_column: Some(self.label_column.clone().unwrap_or_else(|| LABEL.to_owned())),
            header: data.header.clone(),
            absent_images: data.absent_images,
            images: data.images.clone(),
        })
    }
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

/// Which products are the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlignmentSettings {
    /// Pairs of training products: columns `source`, `target`, `label`.
    pub pairs: Option<PathBuf>,
    /// Pairs of validation products.
    pub validation_pairs: Option<PathBuf>,
    /// Instead of pairs, the columns of the title and the image of the first product, where a row holds both.
    pub source_columns: Option<[String; 2]>,
    /// Those of the second.
    pub target_columns: Option<[String; 2]>,
    /// Beside them, the column with the label, `label` by default.
    pub label_column: Option<String>,
    /// What the head reads of two products.
    #[serde(default)]
    pub head: AlignmentHead,
}

/// What the alignment head reads of two products.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlignmentHead {
    /// Both pooled vectors, as the paper has it (section 4.5).
    #[default]
    Linear,
    /// Their distance and their product in each unit as well, which tell likeness.
    Comparison,
}

/// A trained model whose answers a run learns from, besides the labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherSettings {
    /// Its checkpoint: of the same task, tokenizer and image size; of any depth, width and form of attention.
    pub checkpoint: PathBuf,
    /// The share of its answers in the loss; that of the labels is the rest.
    #[serde(default = "half")]
    pub weight: f64,
    /// What both models' logits are divided by when they are compared.
    #[serde(default = "unit")]
    pub temperature: f64,
}

impl TeacherSettings {
    /// What a table says of a teacher whose checkpoint is given later.
    pub(crate) fn of(table: Option<toml::Value>, place: &str) -> Result<Self, TrainError> {
        let mut table = match table {
            Some(toml::Value::Table(table)) => table,
            None => toml::Table::new(),
            Some(_) => return Err(TrainError::run(place, "teacher is a table of keys")),
        };
        table.insert("checkpoint".into(), toml::Value::String(String::new()));
        let settings: Self = super::from_table(table, place)?;
        settings.check()?;
        Ok(settings)
    }

    /// A teacher reads the same pixels as its student.
    pub(crate) fn check_fits(teacher: &Config, student: &Config) -> Result<(), TrainError> {
        let reason = if teacher.architecture != Architecture::Mbsd {
            format!("a teacher is of architecture mbsd, this is {}", teacher.architecture)
        } else if teacher.image_size != student.image_size {
            let sizes = format!("{} pixels, this run of {}", teacher.image_size, student.image_size);
            format!("it reads images of {sizes}: set model.image_size, or take another teacher")
        } else {
            return Ok(());
        };
        Err(TrainError::run("teacher.checkpoint", reason))
    }

    pub(super) fn check(&self) -> Result<(), TrainError> {
        if !(self.weight > 0.0 && self.weight <= 1.0) {
            let reason =
                format!("{} is not more than 0 and at most 1: without a teacher, leave out [teacher]", self.weight);
            return Err(TrainError::run("teacher.weight", reason));
        }
        if !(0.1..=100.0).contains(&self.temperature) {
            let reason = format!("{} is not between 0.1 and 100", self.temperature);
            return Err(TrainError::run("teacher.temperature", reason));
        }
        Ok(())
    }
}

fn half() -> f64 {
    0.5
}

fn unit() -> f64 {
    1.0
}

fn yes() -> bool {
    true
}

fn one() -> usize {
    1
}

// serde hands over a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_one(count: &usize) -> bool {
    *count == one()
}
