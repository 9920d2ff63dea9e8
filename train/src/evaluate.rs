//! How good a model is on rows it was not trained on, with each modality.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use mbsd_net::{Mbsd, Network};
use mbsd_spec::Variant;
use mbsd_spec::metrics::{ByClass, Confusion, grouped_roc_auc, roc_auc};
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::data::{Assembler, Row, evaluation_plan, prefetch};
use crate::objective::stage1::{PatchLoss, Stage1Losses};
use crate::objective::{Stage1Outcome, binary_cross_entropy, cross_entropy, logits, stage1_batch};

/// Rows a tag must have for its own ROC-AUC to count: with fewer it is mostly noise.
pub const MIN_ROWS_PER_TAG: usize = 40;

/// Measures of one variant. What a task or the rows do not give is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Rows scored.
    pub rows: usize,
    /// Mean loss, without smoothing.
    pub loss: f64,
    /// Share of right decisions: logit above 0, or the highest logit; in stage 1, of hidden tokens.
    pub accuracy: f64,
    /// Share of right ones among the rows said to be 1; of classes, their mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<f64>,
    /// Share of those said to be 1 among the rows that are; of classes, their mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recall: Option<f64>,
    /// Harmonic mean of the two; of classes, its mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub f1: Option<f64>,
    /// Mean absolute error of the hidden patches' normalised pixels (stage 1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch_error: Option<f64>,
    /// Area under the ROC curve of all rows (match, alignment).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roc_auc: Option<f64>,
    /// Mean over tags of each tag's own area (match).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag_roc_auc: Option<f64>,
    /// Tags with enough rows to count in that mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<usize>,
}

impl Metrics {
    /// The one number by which checkpoints are compared: the area under the ROC curve, else the accuracy; in stage 1, the
    /// loss, negated.
    pub fn score(&self) -> f64 {
        // Stage 1 has neither questions nor classes to count by.
        let otherwise = if self.precision.is_none() { -self.loss } else { self.accuracy };
        self.roc_auc.unwrap_or(otherwise)
    }
}

/// Logits of rows, in their order; `None` for a row without what the variant needs. `model` must not be on an autodiff
/// device.
///
/// # Errors
/// If a batch cannot be made.
pub fn predict(
    model: &Network,
    assembler: &Assembler,
    rows: &[Row],
    variant: Variant,
    batch_size: usize,
    device: &Device,
) -> Result<Vec<Option<Vec<f32>>>, TrainError> {
    let (plans, order) = evaluation_plan(rows, variant, batch_size, |row| assembler.length(row));
    let mut answers = vec![None; rows.len()];
    for (batch, places) in prefetch(assembler, plans, 1).zip(order.chunks(batch_size)) {
        let mut batch = batch?;
        if batch.rows() == 0 {
            continue;
        }
        let outputs = logits(model, &mut batch, device);
        let [_, width] = outputs.dims();
        let values: Vec<f32> = outputs.into_data().iter::<f32>().collect();
        for (&position, scores) in batch.positions.iter().zip(values.chunks_exact(width)) {
            answers[places[position]] = Some(scores.to_vec());
        }
    }
    Ok(answers)
}

/// Predicts and measures each variant that the model can read, of which there are rows.
///
/// # Errors
/// If a batch cannot be made.
pub fn evaluate(
    model: &Network,
    assembler: &Assembler,
    rows: &[Row],
    batch_size: usize,
    device: &Device,
) -> Result<BTreeMap<Variant, Metrics>, TrainError> {
    let mut measured = BTreeMap::new();
    for &variant in model.variants() {
        let metrics = measure(rows, &predict(model, assembler, rows, variant, batch_size, device)?);
        if metrics.rows > 0 {
            measured.insert(variant, metrics);
        }
    }
    Ok(measured)
}

/// How well hidden tokens and patches are predicted, by the same draw of them each time. `assembler` hides them.
///
/// # Errors
/// If a batch cannot be made.
pub fn evaluate_stage1(
    model: &Mbsd,
    assembler: &Assembler,
    rows: &[Row],
    batch_size: usize,
    device: &Device,
) -> Result<Metrics, TrainError> {
    let Some(parts) = &model.reconstruction else { return Ok(Metrics::default()) };
    let (plans, _) = evaluation_plan(rows, Variant::Full, batch_size, |row| assembler.length(row));
    // Sums over tokens and over patches, for batches hide different numbers of them.
    let (mut tokens, mut right, mut language, mut patches, mut error) = (0, 0, 0.0, 0, 0.0);
    let mut read = 0;
    for batch in prefetch(assembler, plans, 1) {
        let mut batch = batch?;
        if batch.rows() == 0 {
            continue;
        }
        read += batch.rows();
        let hidden_patches = batch.hidden.as_ref().map_or(0, |hidden| hidden.patches.len());
        let Stage1Outcome { losses, tokens: predicted } = stage1_batch(model, &mut batch, PatchLoss::Mean, device);
        let Stage1Losses { mlm, mpm, .. } = losses;
        let value = |loss: Tensor<1>| f64::from(loss.into_scalar::<f32>());
        if let (Some((states, ids)), Some(mlm)) = (predicted, mlm) {
            let best = parts.mlm_logits(states, &model.embeddings.word).argmax(1).into_data();
            right += best.iter::<i64>().zip(&ids).filter(|&(best, &id)| best == i64::from(id)).count();
            language += value(mlm) * ids.len() as f64;
            tokens += ids.len();
        }
        if let Some(mpm) = mpm {
            error += value(mpm) * hidden_patches as f64;
            patches += hidden_patches;
        }
    }
    let mean = |sum: f64, count: usize| if count > 0 { sum / count as f64 } else { 0.0 };
    let (language, error) = (mean(language, tokens), mean(error, patches));
    Ok(Metrics {
        rows: read,
        loss: language + error,
        accuracy: mean(right as f64, tokens),
        patch_error: (patches > 0).then_some(error),
        ..Metrics::default()
    })
}

/// Measures logits against labels: yes or no where rows have tags or other products, else classes.
pub fn measure(rows: &[Row], logits: &[Option<Vec<f32>>]) -> Metrics {
    let scored: Vec<(&Row, &[f32])> =
        rows.iter().zip(logits).filter_map(|(row, logits)| Some((row, logits.as_deref()?))).collect();
    if scored.is_empty() {
        return Metrics::default();
    }
    let count = scored.len();
    let device = Device::flex();
    let share = |right: usize| right as f64 / count as f64;
    let width = scored[0].1.len();
    let flat: Vec<f32> = scored.iter().flat_map(|(_, logits)| logits.iter().copied()).collect();
    let binary = scored.iter().all(|(row, _)| row.tag.is_some() || row.other.is_some());
    if !binary {
        let best = |logits: &[f32]| (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap_or(0);
        let decisions = scored.iter().map(|(row, logits)| (row.label as usize, best(logits)));
        let ByClass { accuracy, precision, recall, f1, .. } = ByClass::count(&decisions.collect::<Vec<_>>());
        let classes: Vec<i64> = scored.iter().map(|(row, _)| i64::from(row.label)).collect();
        let classes = Tensor::from_data(TensorData::new(classes, [count]), &device);
        let logits = Tensor::from_data(TensorData::new(flat, [count, width]), &device);
        let loss = f64::from(cross_entropy(logits, classes, 0.0).into_scalar::<f32>());
        let [precision, recall, f1] = [precision, recall, f1].map(Some);
        return Metrics { rows: count, loss, accuracy, precision, recall, f1, ..Metrics::default() };
    };
    let labels: Vec<bool> = scored.iter().map(|(row, _)| row.label == 1).collect();
    let right = flat.iter().zip(&labels).filter(|&(&logit, &label)| (logit > 0.0) == label).count();
    let targets: Vec<f32> = labels.iter().map(|&label| f32::from(u8::from(label))).collect();
    let loss = binary_cross_entropy(
        Tensor::from_data(TensorData::new(flat.clone(), [count]), &device),
        Tensor::from_data(TensorData::new(targets, [count]), &device),
        0.0,
    );
    let counts = Confusion::count(&flat, &labels, 0.0);
    let tags: Option<Vec<u32>> = scored.iter().map(|(row, _)| row.tag).collect();
    let by_tag = tags.and_then(|tags| grouped_roc_auc(&tags, &flat, &labels, MIN_ROWS_PER_TAG));
    Metrics {
        rows: count,
        loss: f64::from(loss.into_scalar::<f32>()),
        accuracy: share(right),
        precision: Some(counts.precision()),
        recall: Some(counts.recall()),
        f1: Some(counts.f1()),
        patch_error: None,
        roc_auc: roc_auc(&flat, &labels),
        tag_roc_auc: by_tag.map(|(mean, _)| mean),
        tags: by_tag.map(|(_, tags)| tags),
    }
}
