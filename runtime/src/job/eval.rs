//! Measuring a model on labelled products.

use std::collections::BTreeMap;

use mbsd_data::{BadRow, Column, Product, Products};
use mbsd_spec::metrics::{ByClass, Confusion, grouped_roc_auc, roc_auc};
use mbsd_spec::{RowError, Task, Variant};
use serde::Serialize;
use serde_json::Value;

use super::JobError;
use super::model::Model;
use super::pipeline::{self, Plan, Progress, Workers};
use super::prepare::Question;
use super::score::{Scored, Wanted};
use super::summary::Summary;
use super::tasks::{position, sigmoid};
use crate::engine::SessionOptions;

/// Rows a tag needs for its own ROC-AUC to count.
pub const MIN_TAG_ROWS: usize = 40;

/// What is measured, and how.
pub struct EvalOptions<'a> {
    /// Column with the truth: 0/1 for match and alignment, the class name for classification.
    pub label_column: &'a str,
    /// Column with the tag; match only.
    pub tag_column: &'a str,
    /// Every row through this variant, the other modality dropped; by what a product has where `None`.
    pub variant: Option<Variant>,
    /// How graphs are loaded.
    pub session: &'a SessionOptions,
    /// How the cores are shared out.
    pub workers: Workers,
    /// Told how far the job is.
    pub progress: Progress<'a>,
}

/// Measures of a model. What a task has no measure of is absent.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Evaluation {
    /// What was measured.
    pub task: Task,
    /// The engine that computed.
    pub engine: &'static str,
    /// The variant all rows were sent through, if they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<Variant>,
    /// Counts and speed.
    #[serde(flatten)]
    pub summary: Summary,
    /// Share of right decisions; for classification, of right classes.
    pub accuracy: f64,
    /// At the threshold; for classification the mean over the classes that occur.
    pub precision: f64,
    /// At the threshold; for classification the mean over the classes that occur.
    pub recall: f64,
    /// At the threshold; for classification the mean over the classes that occur.
    pub f1: f64,
    /// Probability from which a row counted as a match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
    /// The same by attribute name, for the tags of these attributes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub thresholds: BTreeMap<String, f32>,
    /// Over all rows; absent for classification, and where one of the labels does not occur.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roc_auc: Option<f64>,
    /// Mean of each tag's own ROC-AUC, over tags with [`MIN_TAG_ROWS`] rows and both labels. Match only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_tag_roc_auc: Option<f64>,
    /// Tags that counted for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<usize>,
    /// Classes that occur among the labels. Classification only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
}

/// Measures a match or a classification model. For match, each row is a product, a tag and a label.
///
/// # Errors
/// See [`JobError`]; a missing column is one. A row whose label cannot be read (`invalid_label`, `unknown_label`) is left
/// out and counted.
pub fn eval(model: &Model, products: Products, options: &EvalOptions<'_>) -> Result<Evaluation, JobError> {
    let columns = products.columns().clone();
    eval_each(model, &columns, products, options, |_| ())
}

/// As [`eval`], over rows with the given further columns, and hands the logits of every row that was measured to `each`,
/// in the order of the rows: one for match, one a class for classification.
///
/// # Errors
/// See [`eval`].
pub fn eval_each(
    model: &Model,
    columns: &[Column],
    products: impl Iterator<Item = Result<Product, BadRow>> + Send,
    options: &EvalOptions<'_>,
    each: impl FnMut(&[f32]),
) -> Result<Evaluation, JobError> {
    if model.task == Task::Alignment {
        let message = "an alignment bundle is measured on pairs: give a table of them, with a label column, as --pairs";
        return Err(JobError::Setting(message.to_owned()));
    }
    if let Some(variant) = options.variant {
        model.require_variant(variant)?;
    }
    let label = position(columns, options.label_column)?;
    if model.task == Task::Match {
        eval_match(model, products, options, [label, position(columns, options.tag_column)?], each)
    } else {
        eval_classes(model, products, options, label, each)
    }
}

fn eval_match(
    model: &Model,
    products: impl Iterator<Item = Result<Product, BadRow>> + Send,
    options: &EvalOptions<'_>,
    columns: [usize; 2],
    each: impl FnMut(&[f32]),
) -> Result<Evaluation, JobError> {
    Ok(LabelledTags::measure(model, products, options, columns, each)?.evaluation(model, options.variant))
}

/// Scored rows of products, tags and labels.
pub(super) struct LabelledTags {
    pub(super) summary: Summary,
    pub(super) tags: Vec<String>,
    pub(super) logits: Vec<f32>,
    pub(super) labels: Vec<bool>,
}

impl LabelledTags {
    /// `label` and `tag` are the places of these columns.
    pub(super) fn measure(
        model: &Model,
        products: impl Iterator<Item = Result<Product, BadRow>> + Send,
        options: &EvalOptions<'_>,
        [label, tag]: [usize; 2],
        mut each: impl FnMut(&[f32]),
    ) -> Result<Self, JobError> {
        let (mut tags, mut logits, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        let summary = measure(model, products, options, Question::TagColumn(tag), |columns, logit| {
            let truth = mbsd_data::truth(&columns[label]).ok_or_else(|| {
                RowError::new("invalid_label", format!("`{}` is none of 0, 1, false, true", options.label_column))
            })?;
            tags.push(columns[tag].as_str().unwrap_or_default().to_owned());
            logits.push(logit[0]);
            labels.push(truth);
            each(logit);
            Ok(())
        })?;
        Ok(Self { summary, tags, logits, labels })
    }

    /// The measures, at the thresholds of the model.
    pub(super) fn evaluation(self, model: &Model, variant: Option<Variant>) -> Evaluation {
        let Self { summary, tags, logits, labels } = self;
        let per_tag = grouped_roc_auc(&tags, &logits, &labels, MIN_TAG_ROWS);
        let thresholds: Vec<f32> = tags.iter().map(|tag| model.threshold_of(tag)).collect();
        Evaluation {
            per_tag_roc_auc: per_tag.map(|(area, _)| area),
            tags: per_tag.map(|(_, tags)| tags),
            thresholds: model.thresholds.clone(),
            ..binary(model, variant, summary, &logits, &labels, &thresholds)
        }
    }
}

/// Measures of a yes/no question, with the threshold of each row.
pub(super) fn binary(
    model: &Model,
    variant: Option<Variant>,
    summary: Summary,
    logits: &[f32],
    labels: &[bool],
    thresholds: &[f32],
) -> Evaluation {
    let mut counts = Confusion::default();
    for ((&logit, &label), &threshold) in logits.iter().zip(labels).zip(thresholds) {
        counts.add(sigmoid(logit) >= threshold, label);
    }
    Evaluation {
        task: model.task,
        engine: model.engine.name(),
        variant,
        summary,
        accuracy: counts.accuracy(),
        precision: counts.precision(),
        recall: counts.recall(),
        f1: counts.f1(),
        threshold: Some(model.threshold),
        thresholds: BTreeMap::new(),
        // Of the logits: far from 0 the sigmoid rounds different ones to the same score.
        roc_auc: roc_auc(logits, labels),
        per_tag_roc_auc: None,
        tags: None,
        classes: None,
    }
}

fn eval_classes(
    model: &Model,
    products: impl Iterator<Item = Result<Product, BadRow>> + Send,
    options: &EvalOptions<'_>,
    label: usize,
    mut each: impl FnMut(&[f32]),
) -> Result<Evaluation, JobError> {
    // (class, predicted) of every row.
    let mut decisions: Vec<(usize, usize)> = Vec::new();
    let summary = measure(model, products, options, Question::Product, |columns, logits| {
        let class = class_of(model, &columns[label], logits.len()).ok_or_else(|| {
            RowError::new("unknown_label", format!("`{}` is no class of the model", options.label_column))
        })?;
        let mut predicted = 0;
        for (candidate, logit) in logits.iter().enumerate() {
            if *logit > logits[predicted] {
                predicted = candidate;
            }
        }
        decisions.push((class, predicted));
        each(logits);
        Ok(())
    })?;
    let ByClass { accuracy, precision, recall, f1, classes } = ByClass::count(&decisions);
    Ok(Evaluation {
        task: model.task,
        engine: model.engine.name(),
        variant: options.variant,
        accuracy,
        precision,
        recall,
        f1,
        threshold: None,
        thresholds: BTreeMap::new(),
        roc_auc: None,
        per_tag_roc_auc: None,
        tags: None,
        classes: Some(classes),
        summary,
    })
}

/// The class a label names; a number where the bundle names no classes.
fn class_of(model: &Model, label: &Value, classes: usize) -> Option<usize> {
    let name = match label {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => label.to_string(),
        _ => return None,
    };
    (0..classes).find(|&class| model.label(class) == name)
}

/// Scores every row and hands its further columns with its logits to `take`, which may refuse it.
fn measure(
    model: &Model,
    products: impl Iterator<Item = Result<Product, BadRow>> + Send,
    options: &EvalOptions<'_>,
    question: Question,
    mut take: impl FnMut(&[Value], &[f32]) -> Result<(), RowError>,
) -> Result<Summary, JobError> {
    let mut summary = Summary::default();
    let plan = Plan {
        question,
        wanted: Wanted::Logits,
        forced: options.variant,
        session: options.session,
        workers: options.workers,
        cut: None,
    };
    let timing = pipeline::run(model, &plan, products, |scored| {
        summary.count_product(&scored);
        let Scored { product, answer } = scored;
        let outcome = match (product, answer) {
            (Ok(product), Ok(answer)) => take(&product.columns, &answer.values[0]),
            (_, Err(error)) => Err(error),
            (Err(bad), Ok(_)) => Err(bad.error),
        };
        match outcome {
            Ok(()) => summary.count_scored(),
            Err(error) => summary.count_error(&error),
        }
        (options.progress)(summary.rows);
        Ok(())
    })?;
    summary.set_time(timing);
    Ok(summary)
}
