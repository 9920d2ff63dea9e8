//! How good a model is on rows it was not trained on, with each modality.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use mbsd_net::Mbsd;
use mbsd_spec::Variant;
use mbsd_spec::metrics::{grouped_roc_auc, roc_auc};
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::data::{Assembler, Row, evaluation_plan, prefetch};
use crate::objective::{binary_cross_entropy, cross_entropy};

/// Rows a tag must have for its own ROC-AUC to count: with fewer it is mostly noise.
pub const MIN_ROWS_PER_TAG: usize = 40;

/// Measures of one variant. What a task or the rows do not give is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Rows scored.
    pub rows: usize,
    /// Mean loss, without smoothing.
    pub loss: f64,
    /// Share of right decisions: logit above 0, or the highest logit.
    pub accuracy: f64,
    /// Area under the ROC curve of all rows (match).
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
    /// The one number by which checkpoints are compared.
    pub fn score(&self) -> f64 {
        self.roc_auc.unwrap_or(self.accuracy)
    }
}

/// Logits of rows, in their order; `None` for a row without what the variant needs. `model` must not be on an autodiff
/// device.
///
/// # Errors
/// If a batch cannot be made.
pub fn predict(
    model: &Mbsd,
    assembler: &Assembler,
    rows: &[Row],
    variant: Variant,
    batch_size: usize,
    device: &Device,
) -> Result<Vec<Option<Vec<f32>>>, TrainError> {
    let (plans, order) = evaluation_plan(rows, variant, batch_size, |row| assembler.length(row));
    let mut logits = vec![None; rows.len()];
    for (batch, places) in prefetch(assembler, plans).zip(order.chunks(batch_size)) {
        let mut batch = batch?;
        if batch.rows() == 0 {
            continue;
        }
        let (text, image) = batch.take_inputs(device);
        let outputs = model.head_outputs(model.encode(text, image).pooled);
        let [_, width] = outputs.dims();
        let values: Vec<f32> = outputs.into_data().iter::<f32>().collect();
        for (&position, scores) in batch.positions.iter().zip(values.chunks_exact(width)) {
            logits[places[position]] = Some(scores.to_vec());
        }
    }
    Ok(logits)
}

/// Predicts and measures each encoder variant.
///
/// # Errors
/// If a batch cannot be made.
pub fn evaluate(
    model: &Mbsd,
    assembler: &Assembler,
    rows: &[Row],
    batch_size: usize,
    device: &Device,
) -> Result<BTreeMap<Variant, Metrics>, TrainError> {
    Variant::ENCODERS
        .into_iter()
        .map(|variant| {
            let logits = predict(model, assembler, rows, variant, batch_size, device)?;
            Ok((variant, measure(rows, &logits)))
        })
        .collect()
}

/// Measures logits against labels: of match rows where they have tags, else of classes.
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
    let tags: Option<Vec<u32>> = scored.iter().map(|(row, _)| row.tag).collect();
    let Some(tags) = tags else {
        let best = |logits: &[f32]| (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap_or(0);
        let right = scored.iter().filter(|(row, logits)| best(logits) == row.label as usize).count();
        let classes: Vec<i64> = scored.iter().map(|(row, _)| i64::from(row.label)).collect();
        let classes = Tensor::from_data(TensorData::new(classes, [count]), &device);
        let logits = Tensor::from_data(TensorData::new(flat, [count, width]), &device);
        let loss = f64::from(cross_entropy(logits, classes, 0.0).into_scalar::<f32>());
        return Metrics { rows: count, loss, accuracy: share(right), ..Metrics::default() };
    };
    let labels: Vec<bool> = scored.iter().map(|(row, _)| row.label == 1).collect();
    let right = flat.iter().zip(&labels).filter(|&(&logit, &label)| (logit > 0.0) == label).count();
    let targets: Vec<f32> = labels.iter().map(|&label| f32::from(u8::from(label))).collect();
    let loss = binary_cross_entropy(
        Tensor::from_data(TensorData::new(flat.clone(), [count]), &device),
        Tensor::from_data(TensorData::new(targets, [count]), &device),
        0.0,
    );
    let by_tag = grouped_roc_auc(&tags, &flat, &labels, MIN_ROWS_PER_TAG);
    Metrics {
        rows: count,
        loss: f64::from(loss.into_scalar::<f32>()),
        accuracy: share(right),
        roc_auc: roc_auc(&flat, &labels),
        tag_roc_auc: by_tag.map(|(mean, _)| mean),
        tags: by_tag.map(|(_, tags)| tags),
    }
}
