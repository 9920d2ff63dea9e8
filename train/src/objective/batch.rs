//! The losses of whole batches: what a session minimises.

use burn::tensor::{Device, Int, Tensor, TensorData};
use mbsd_net::{Head, ImageInput, MaskedPatches, Mbsd, Network, PatchInput, TitleInput, patches_of};

use super::sdmi::{Present, SdmiSettings, UniModal, sdmi_losses};
use super::stage1::{PatchLoss, PatchTargets, Stage1Losses, TokenLayout, TokenTargets, stage1_losses};
use super::{Teacher, binary_cross_entropy, cross_entropy};
use crate::data::{Apart, Hidden, HostBatch, Portion, Targets};

/// What a session minimises.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum BatchLoss {
    /// Masked tokens and patches.
    Stage1(PatchLoss),
    /// Query and product, with self-distillation.
    Stage2(SdmiSettings),
    /// The head's answer: binary cross-entropy for match and alignment, cross-entropy for classification (paper, sections
    /// 4.4 to 4.6). That much of the label's mass goes to all labels.
    Head {
        /// Probability mass moved.
        smoothing: f64,
    },
}

/// The loss of a batch and its parts, `[1]` each.
#[derive(Debug, Clone)]
pub struct Losses {
    /// What is minimised.
    pub total: Tensor<1>,
    /// The terms it is made of, where there are several.
    pub terms: Vec<(&'static str, Tensor<1>)>,
}

impl Losses {
    fn times(self, factor: f64) -> Self {
        let terms = self.terms.into_iter().map(|(name, loss)| (name, loss * factor)).collect();
        Self { total: self.total * factor, terms }
    }
}

impl BatchLoss {
    /// The losses of a batch that has what they need; its inputs are moved out of it. `device` is the model's. Of a part of a
    /// batch, `portion` makes what is added up over the parts the losses of the whole; but where stage 2 averages per
    /// direction, the rows of one direction are those of each part. A `teacher` adds its answers to the labels of a task.
    ///
    /// # Panics
    /// For [`BatchLoss::Stage1`] and [`BatchLoss::Stage2`], if the model is not MBSD, or has no [`mbsd_net::Reconstruction`]
    /// for the former.
    pub fn compute(
        self,
        model: &Network,
        teacher: Option<&Teacher>,
        batch: &mut HostBatch,
        portion: Portion,
        device: &Device,
    ) -> Losses {
        match self {
            Self::Stage1(patch_loss) => {
                let Stage1Losses { mlm, mpm, total } = stage1(pre_trained(model), batch, patch_loss, device).losses;
                let terms = [("mlm", mlm, portion.tokens), ("mpm", mpm, portion.patches)]
                    .into_iter()
                    .filter_map(|(name, loss, portion)| Some((name, loss? * portion)));
                let terms: Vec<_> = terms.collect();
                let total = terms.iter().map(|(_, loss)| loss.clone()).reduce(|sum, loss| sum + loss).unwrap_or(total);
                Losses { total, terms }
            }
            Self::Stage2(settings) => stage2(pre_trained(model), batch, settings, device).times(portion.rows),
            Self::Head { smoothing } => {
                let binary = !matches!(model.head(), Head::Classification { .. });
                let targets = batch.targets(binary, device);
                let logits = logits(model, batch, device);
                let labels = match targets {
                    Targets::Binary(labels) => {
                        binary_cross_entropy(logits.clone().squeeze_dim::<1>(1), labels, smoothing)
                    }
                    Targets::Classes(classes) => cross_entropy(logits.clone(), classes, smoothing),
                };
                let losses = match teacher.zip(batch.teacher.take()) {
                    Some((teacher, mut read)) => {
                        let taught = teacher.loss(logits, &mut read);
                        let total = labels.clone() * (1.0 - teacher.weight) + taught.clone() * teacher.weight;
                        Losses { total, terms: vec![("labels", labels), ("teacher", taught)] }
                    }
                    None => Losses { total: labels, terms: Vec::new() },
                };
                losses.times(portion.rows)
            }
        }
    }
}

fn pre_trained(model: &Network) -> &Mbsd {
    model.mbsd().expect("a run of pre-training is refused for other networks")
}

/// What stage 1 makes of a batch.
#[derive(Debug)]
pub struct Stage1Outcome {
    /// The losses.
    pub losses: Stage1Losses,
    /// Hidden states of the tokens to predict, `[n, hidden]`, and their ids.
    pub tokens: Option<(Tensor<2>, Vec<u32>)>,
}

/// Stage 1 over a batch assembled with masking.
///
/// # Panics
/// If the model has no [`mbsd_net::Reconstruction`].
pub fn stage1(model: &Mbsd, batch: &mut HostBatch, patch_loss: PatchLoss, device: &Device) -> Stage1Outcome {
    let parts = model.reconstruction.as_ref().expect("a session of stage 1 makes its model with these parts");
    let hidden = batch.hidden.take().unwrap_or_default();
    let rows = batch.products.len();
    let longest = batch.text.as_ref().map_or(0, |text| text.longest());
    let (text, image) = batch.take_inputs(device);
    let mut layout = TokenLayout { text: longest, patches: 0 };
    let mut targets = None;
    let patches = image.map(|ImageInput { pixel_values, present }| {
        let features = model.patch_features(pixel_values.clone());
        let [_, count, _] = features.dims();
        layout.patches = count;
        let [_, _, height, width] = pixel_values.dims();
        let side = patch_side(height * width, count);
        let pixels = patches_of(pixel_values, side).flatten::<2>(0, 1);
        let places = indices(hidden.patches.iter().map(|&(row, patch)| row * count + patch), device);
        targets = places.map(|places| pixels.select(0, places));
        PatchInput { features: parts.mask_patches(features, replaced(&hidden, rows, count, device)), present }
    });
    let states = model.encode_patches(text, patches).last_hidden_state;
    let positions = indices(hidden.tokens.iter().map(|&(row, token, _)| layout.token(row, token)), device);
    let labels = indices(hidden.tokens.iter().map(|&(_, _, id)| id as usize), device);
    let tokens = positions.zip(labels).map(|(positions, labels)| TokenTargets { positions, labels });
    let predicted = tokens.as_ref().map(|targets| {
        let states = states.clone().flatten::<2>(0, 1).select(0, targets.positions.clone());
        (states, hidden.tokens.iter().map(|&(_, _, id)| id).collect())
    });
    let positions = indices(hidden.patches.iter().map(|&(row, patch)| layout.patch(row, patch)), device);
    let patches = positions.zip(targets).map(|(positions, pixels)| PatchTargets { positions, pixels });
    let losses = stage1_losses(parts, &model.embeddings.word, states, tokens, patches, patch_loss);
    Stage1Outcome { losses, tokens: predicted }
}

/// The side in pixels of one of `count` square patches of an image of so many pixels.
fn patch_side(pixels: usize, count: usize) -> usize {
    ((pixels / count.max(1)) as f64).sqrt().round() as usize
}

fn replaced(hidden: &Hidden, rows: usize, count: usize, device: &Device) -> MaskedPatches {
    let exchanged = hidden.source.iter().zip(0..).any(|(&source, place)| source != place);
    MaskedPatches {
        masked: Tensor::from_data(TensorData::new(hidden.masked.clone(), [rows, count]), device),
        source: exchanged.then(|| Tensor::from_data(TensorData::new(hidden.source.clone(), [rows * count]), device)),
    }
}

fn indices(values: impl Iterator<Item = usize>, device: &Device) -> Option<Tensor<1, Int>> {
    let values: Vec<i64> = values.map(|value| value as i64).collect();
    let count = values.len();
    (count > 0).then(|| Tensor::from_data(TensorData::new(values, [count]), device))
}

/// Logits of a batch's rows, `[rows, outputs]`; its inputs are moved out of it.
///
/// # Panics
/// If the batch has tags apart from products and the model is not MBSD.
pub fn logits(model: &Network, batch: &mut HostBatch, device: &Device) -> Tensor<2> {
    match batch.take_apart(device) {
        Some(apart) => {
            let mbsd = model.mbsd().expect("a run with one-way attention is refused for other networks");
            let patches = apart.image.clone().map(|image| patch_input(mbsd, image));
            mbsd.head_outputs(pooled_rows(mbsd, &apart, apart.title.clone(), patches))
        }
        None => {
            let (text, image) = batch.take_inputs(device);
            model.logits(model.pooled(text, image))
        }
    }
}

/// Pooled vectors of a batch's rows, `[rows, hidden]`, each over the title and the image that are given.
fn pooled_rows(model: &Mbsd, apart: &Apart, title: Option<TitleInput>, patches: Option<PatchInput>) -> Tensor<2> {
    let context = model.context(title, patches, apart.title_position);
    model.pooled_tags(apart.tags.clone(), &context).flatten::<2>(0, 1).select(0, apart.places.clone())
}

fn patch_input(model: &Mbsd, ImageInput { pixel_values, present }: ImageInput) -> PatchInput {
    PatchInput { features: model.patch_features(pixel_values), present }
}

/// The pooled vectors of stage 2, `[rows, hidden]` each: of whole products, and where they are needed of titles and of images.
fn stage2_pooled(
    model: &Mbsd,
    batch: &mut HostBatch,
    uni_modal: bool,
    device: &Device,
) -> (Tensor<2>, Option<[Tensor<2>; 2]>) {
    // The patchify network sees an image once for both inputs that have it.
    if let Some(apart) = batch.take_apart(device) {
        let patches = apart.image.clone().map(|image| patch_input(model, image));
        let pooled = |title, patches| pooled_rows(model, &apart, title, patches);
        let whole = pooled(apart.title.clone(), patches.clone());
        return (whole, uni_modal.then(|| [pooled(apart.title.clone(), None), pooled(None, patches)]));
    }
    let queries = batch.take_queries(device);
    let (text, image) = batch.take_inputs(device);
    let patches = image.map(|image| patch_input(model, image));
    let whole = model.pooled_patches(text.clone(), patches.clone());
    (whole, uni_modal.then(|| [model.pooled(text, None), model.pooled_patches(queries, patches)]))
}

fn stage2(model: &Mbsd, batch: &mut HostBatch, settings: SdmiSettings, device: &Device) -> Losses {
    let rows = [batch.rows()];
    let labels: Vec<f32> = batch.labels.iter().map(|&label| label as f32).collect();
    let labels = Tensor::from_data(TensorData::new(labels, rows), device);
    let present = batch.row_modalities.take().map(|both| {
        let [text, image] = both.map(|has| Tensor::from_data(TensorData::new(has, rows), device));
        Present { text, image }
    });
    let (whole, uni_modal) = stage2_pooled(model, batch, settings.needs_uni_modal(), device);
    let qi = model.match_logits(whole);
    let uni_modal = uni_modal.map(|[qt_pooled, qv_pooled]| UniModal {
        qt_logits: model.match_logits(qt_pooled.clone()),
        qv_logits: model.match_logits(qv_pooled.clone()),
        qt_pooled,
        qv_pooled,
        present,
    });
    let losses = sdmi_losses(qi, uni_modal, labels, settings);
    let mut terms = vec![("qi", losses.qi)];
    if let Some(parts) = losses.uni_modal {
        terms.extend([("qt", parts.qt), ("qv", parts.qv), ("kl", parts.kl), ("rs", parts.rs)]);
    }
    Losses { total: losses.total, terms }
}
