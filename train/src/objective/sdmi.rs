//! Modality balance pre-training: query and product are matched with the whole product, its title alone and its image
//! alone, and of the last two the stronger teaches the weaker (SDMI; paper, section 3.6).
//!
//! For a row with label y, let m = (2y - 1) x be the margin of a logit x: sigmoid(m) is the probability given to what is
//! right. The stronger modality s of Eq. 6 is then the one with the larger margin whichever the label, it is right
//! (Eq. 9) where its margin is positive, the weight w of Eq. 9 is sigmoid(m_s) - sigmoid(m_w), and the divergence of two
//! Bernoulli distributions is that of their margins. Rows whose margins are equal have no stronger modality and teach
//! nothing.

use burn::tensor::activation::{log_sigmoid, sigmoid};
use burn::tensor::{Bool, Tensor};
use serde::{Deserialize, Serialize};

use super::{binary_cross_entropies, binary_cross_entropy};

/// Which way the divergence of Eq. 7 is taken. In both the stronger modality's probability is a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KlDirection {
    /// D(weak, strong), the paper's.
    WeakFromStrong,
    /// D(strong, weak), the released code's.
    StrongFromWeak,
}

/// What the distillation losses are averaged over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Average {
    /// All rows of the batch, Eq. 10.
    Batch,
    /// In each direction (text teaches image, image teaches text) the rows that are taught in it; then added. The
    /// released code's.
    PerDirection,
}

/// What stage 2 minimises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SdmiSettings {
    /// Direction of the divergence.
    pub kl_direction: KlDirection,
    /// What the distillation losses are averaged over.
    pub average: Average,
    /// Whether the losses of the text-only and image-only inputs count (L_QT, L_QV).
    pub use_uni_modal: bool,
    /// Whether the stronger modality teaches the weaker (L_KL, L_RS).
    pub use_distillation: bool,
    /// Whether rows are weighted by Eq. 9; without it each row whose stronger modality is right weighs 1.
    pub adaptive_weight: bool,
}

impl SdmiSettings {
    /// As the paper has it.
    pub fn paper() -> Self {
        Self {
            kl_direction: KlDirection::WeakFromStrong,
            average: Average::Batch,
            use_uni_modal: true,
            use_distillation: true,
            adaptive_weight: true,
        }
    }

    /// As the released code has it.
    pub fn released() -> Self {
        Self { kl_direction: KlDirection::StrongFromWeak, average: Average::PerDirection, ..Self::paper() }
    }

    /// Whether the text-only and image-only inputs have to be encoded at all.
    pub fn needs_uni_modal(self) -> bool {
        self.use_uni_modal || self.use_distillation
    }
}

impl Default for SdmiSettings {
    fn default() -> Self {
        Self::paper()
    }
}

/// What the model makes of the inputs with one modality taken away.
#[derive(Debug, Clone)]
pub struct UniModal {
    /// Logits of query and title, `[batch]`.
    pub qt_logits: Tensor<1>,
    /// Logits of query and image, `[batch]`.
    pub qv_logits: Tensor<1>,
    /// Pooled vectors of query and title, `[batch, hidden]`.
    pub qt_pooled: Tensor<2>,
    /// Pooled vectors of query and image, `[batch, hidden]`.
    pub qv_pooled: Tensor<2>,
    /// Which rows have what; `None` where all have both.
    pub present: Option<Present>,
}

/// 1 for a row whose product has the modality and 0 for one whose product lacks it, `[batch]` each. A modality that is not there
/// neither learns nor teaches: its losses are 0.
#[derive(Debug, Clone)]
pub struct Present {
    /// A title.
    pub text: Tensor<1>,
    /// An image.
    pub image: Tensor<1>,
}

/// The losses of a batch, `[1]` each.
#[derive(Debug, Clone)]
pub struct SdmiLosses {
    /// Query and whole product, Eq. 3.
    pub qi: Tensor<1>,
    /// Those of the uni-modal inputs, where they were given.
    pub uni_modal: Option<UniModalLosses>,
    /// The sum of what the settings count.
    pub total: Tensor<1>,
}

/// The losses that need the uni-modal inputs, `[1]` each. They are measured whether or not the settings count them.
#[derive(Debug, Clone)]
pub struct UniModalLosses {
    /// Query and title, Eq. 4.
    pub qt: Tensor<1>,
    /// Query and image, Eq. 5.
    pub qv: Tensor<1>,
    /// Divergence of the weaker modality's distribution from the stronger's, Eq. 7 and 10.
    pub kl: Tensor<1>,
    /// Distance of the weaker modality's pooled vector from the stronger's, Eq. 8 and 10.
    pub rs: Tensor<1>,
    /// The share of `kl` and `rs` in rows where text is the stronger modality.
    pub text_teaches: Distillation,
    /// The share of `kl` and `rs` in rows where the image is the stronger modality.
    pub image_teaches: Distillation,
}

/// The distillation losses in one direction, `[1]` each.
#[derive(Debug, Clone)]
pub struct Distillation {
    /// As [`UniModalLosses::kl`].
    pub kl: Tensor<1>,
    /// As [`UniModalLosses::rs`].
    pub rs: Tensor<1>,
}

/// Losses of a batch from the logits of the whole product (`qi`, `[batch]`), the uni-modal inputs, and labels of 0 or 1
/// (`[batch]`).
///
/// No gradient passes through the stronger modality's probability or through the weight; that of the distance reaches
/// both sides. Finite for all finite logits. Meant for single precision.
///
/// # Panics
/// If the settings count losses of uni-modal inputs that are not given.
pub fn sdmi_losses(
    qi: Tensor<1>,
    uni_modal: Option<UniModal>,
    labels: Tensor<1>,
    settings: SdmiSettings,
) -> SdmiLosses {
    let qi = binary_cross_entropy(qi, labels.clone(), 0.0);
    let Some(uni_modal) = uni_modal else {
        assert!(!settings.needs_uni_modal(), "these settings need the text-only and the image-only input");
        return SdmiLosses { total: qi.clone(), qi, uni_modal: None };
    };
    let losses = uni_modal_losses(uni_modal, labels, settings);
    let mut total = qi.clone();
    if settings.use_uni_modal {
        total = total + losses.qt.clone() + losses.qv.clone();
    }
    if settings.use_distillation {
        total = total + losses.kl.clone() + losses.rs.clone();
    }
    SdmiLosses { qi, uni_modal: Some(losses), total }
}

fn uni_modal_losses(inputs: UniModal, labels: Tensor<1>, settings: SdmiSettings) -> UniModalLosses {
    let UniModal { qt_logits, qv_logits, qt_pooled, qv_pooled, present } = inputs;
    let both = present.as_ref().map(|present| present.text.clone() * present.image.clone());
    let (has_text, has_image) = present.map(|present| (present.text, present.image)).unzip();
    let sign = labels.clone() * 2.0 - 1.0;
    let text = qt_logits.clone() * sign.clone();
    let image = qv_logits.clone() * sign;
    let distance = (qt_pooled - qv_pooled).square().mean_dim(1).squeeze_dim::<1>(1);
    let text_teaches = distillation(text.clone(), image.clone(), distance.clone(), both.clone(), settings);
    let image_teaches = distillation(image, text, distance, both, settings);
    UniModalLosses {
        qt: with(has_text, binary_cross_entropies(qt_logits, labels.clone())).mean(),
        qv: with(has_image, binary_cross_entropies(qv_logits, labels)).mean(),
        kl: text_teaches.kl.clone() + image_teaches.kl.clone(),
        rs: text_teaches.rs.clone() + image_teaches.rs.clone(),
        text_teaches,
        image_teaches,
    }
}

/// The rows that have what it takes; 0 for the others.
fn with(present: Option<Tensor<1>>, rows: Tensor<1>) -> Tensor<1> {
    match present {
        Some(present) => rows * present,
        None => rows,
    }
}

/// One modality's lessons to the other, from the margins of both, the distance of their pooled vectors, and which rows have both,
/// `[batch]` each.
fn distillation(
    teacher: Tensor<1>,
    student: Tensor<1>,
    distance: Tensor<1>,
    both: Option<Tensor<1>>,
    settings: SdmiSettings,
) -> Distillation {
    let teacher = teacher.detach();
    let fixed_student = student.clone().detach();
    let taught: Tensor<1, Bool> =
        teacher.clone().greater(fixed_student.clone()).bool_and(teacher.clone().greater_elem(0.0));
    let taught = with(both, taught.float());
    let divisor = match settings.average {
        Average::Batch => Tensor::full([1], taught.dims()[0] as f64, &taught.device()),
        Average::PerDirection => taught.clone().sum().clamp_min(1.0),
    };
    let weight =
        if settings.adaptive_weight { taught * (sigmoid(teacher.clone()) - sigmoid(fixed_student)) } else { taught };
    let divergence = match settings.kl_direction {
        KlDirection::WeakFromStrong => bernoulli_divergence(student, teacher),
        KlDirection::StrongFromWeak => bernoulli_divergence(teacher, student),
    };
    Distillation { kl: (weight.clone() * divergence).sum() / divisor.clone(), rs: (weight * distance).sum() / divisor }
}

/// D(p, q) = p log(p / q) + (1 - p) log((1 - p) / (1 - q)) of the probabilities that two batches of logits stand for,
/// `[batch]` each, from log-sigmoids: a saturated probability is no logarithm of 0.
pub(super) fn bernoulli_divergence(p: Tensor<1>, q: Tensor<1>) -> Tensor<1> {
    let outcome = |p: Tensor<1>, q: Tensor<1>| sigmoid(p.clone()) * (log_sigmoid(p) - log_sigmoid(q));
    outcome(p.clone(), q.clone()) + outcome(p.neg(), q.neg())
}

#[cfg(test)]
mod tests;
