//! Thresholds chosen on labelled rows.

use std::collections::BTreeMap;
use std::path::Path;

use mbsd_data::{Products, attribute_of, staged};
use mbsd_spec::bundle::names;
use mbsd_spec::metrics::{Confusion, best_threshold};
use mbsd_spec::{Bundle, Task};
use serde::Serialize;

use super::JobError;
use super::align::labelled_pairs;
use super::eval::{EvalOptions, LabelledTags, MIN_TAG_ROWS};
use super::model::Model;
use super::summary::Summary;
use super::tasks::{position, sigmoid};

/// A threshold, and what it does on the rows it was chosen on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Tuned {
    /// Probability from which a row counts as a match: the one with the highest F1.
    pub threshold: f32,
    /// Rows it was chosen on.
    pub rows: usize,
    /// F1 with it.
    pub f1: f64,
    /// F1 with the threshold that the bundle had.
    pub f1_before: f64,
}

/// Thresholds for a bundle.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TunedThresholds {
    /// For tags of attributes without a threshold of their own, and for pairs.
    pub overall: Tuned,
    /// By attribute name: those with [`MIN_TAG_ROWS`] rows and both labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Tuned>,
    /// Counts and speed.
    #[serde(flatten)]
    pub summary: Summary,
}

/// Chooses thresholds of a match or an alignment model on labelled rows; `pairs` names those of an alignment model.
///
/// # Errors
/// See [`JobError`]; rows of one label alone are one.
pub fn tune_thresholds(
    model: &Model,
    products: Products,
    pairs: Option<&Path>,
    options: &EvalOptions<'_>,
) -> Result<TunedThresholds, JobError> {
    let columns = products.columns().clone();
    let mut by_attribute: BTreeMap<String, (Vec<f32>, Vec<bool>, f32)> = BTreeMap::new();
    let (summary, logits, labels, before) = match (model.task, pairs) {
        (Task::Match, _) => {
            let places = [position(&columns, options.label_column)?, position(&columns, options.tag_column)?];
            let rows = LabelledTags::measure(model, products, options, places, |_| ())?;
            for ((tag, &logit), &label) in rows.tags.iter().zip(&rows.logits).zip(&rows.labels) {
                let name = attribute_of(tag);
                if !name.is_empty() {
                    let own = by_attribute.entry(name.to_owned()).or_default();
                    own.0.push(sigmoid(logit));
                    own.1.push(label);
                    own.2 = model.threshold_of(tag);
                }
            }
            (rows.summary, rows.logits, rows.labels, model.threshold)
        }
        (Task::Alignment, Some(pairs)) => {
            let (summary, logits, labels) = labelled_pairs(model, products, pairs, options, |_| ())?;
            (summary, logits, labels, model.threshold)
        }
        (Task::Alignment, None) => {
            return Err(JobError::Setting(
                "an alignment bundle is tuned on pairs: give a table of them as --pairs".to_owned(),
            ));
        }
        (Task::Classification, _) => {
            return Err(JobError::Setting("a classification bundle has no threshold to tune".to_owned()));
        }
    };
    let scores: Vec<f32> = logits.iter().map(|&logit| sigmoid(logit)).collect();
    let overall = tuned(&scores, &labels, before).ok_or_else(|| {
        let codes: Vec<String> = summary.errors.iter().map(|(code, count)| format!("{count} x {code}")).collect();
        let message =
            "thresholds are tuned on rows of both labels; the input has rows of one alone, or none that can be used";
        JobError::Setting(format!("{message} ({} measured; {})", summary.scored, codes.join(", ")))
    })?;
    let attributes = by_attribute
        .into_iter()
        .filter(|(_, (scores, ..))| scores.len() >= MIN_TAG_ROWS)
        .filter_map(|(name, (scores, labels, before))| Some((name, tuned(&scores, &labels, before)?)))
        .collect();
    Ok(TunedThresholds { overall, attributes, summary })
}

fn tuned(scores: &[f32], labels: &[bool], before: f32) -> Option<Tuned> {
    let threshold = best_threshold(scores, labels)?;
    let f1 = |threshold| Confusion::count(scores, labels, threshold).f1();
    Some(Tuned { threshold, rows: scores.len(), f1: f1(threshold), f1_before: f1(before) })
}

impl TunedThresholds {
    /// Puts the thresholds into a bundle's manifest, in the place of those it had. No other file is touched, so that every digest stays
    /// right.
    ///
    /// # Errors
    /// If the manifest cannot be written; it is then as it was.
    pub fn store(&self, bundle: &Bundle) -> Result<(), JobError> {
        let mut manifest = bundle.manifest().clone();
        manifest.threshold = Some(self.overall.threshold);
        manifest.thresholds = self.attributes.iter().map(|(name, tuned)| (name.clone(), tuned.threshold)).collect();
        let path = bundle.root().join(names::MANIFEST);
        staged::write_whole(&path, &manifest.to_json())
            .map_err(|source| JobError::Output { path: path.clone(), source: source.into() })
    }
}
