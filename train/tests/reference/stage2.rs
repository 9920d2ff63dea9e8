//! Modality balance pre-training: the released recipe with its gradients, the paper's with its losses.

use burn::tensor::{Tensor, s};
use mbsd_net::{Mbsd, PatchInput, TextInput};
use mbsd_spec::Task;
use mbsd_train::objective::sdmi::{SdmiSettings, UniModal, sdmi_losses};

use crate::case::{Case, TOLERANCE, values};

/// Pooled vectors and logits of the three inputs, `qi`, `qt` and `qv`.
struct Passes {
    pooled: [Tensor<2>; 3],
    logits: [Tensor<1>; 3],
}

impl Passes {
    fn uni_modal(&self) -> UniModal {
        let ([_, qt_pooled, qv_pooled], [_, qt_logits, qv_logits]) = (self.pooled.clone(), self.logits.clone());
        UniModal { qt_logits, qv_logits, qt_pooled, qv_pooled, present: None }
    }
}

/// The query's tokens alone, as long as the longest of the batch, in one segment.
fn query(case: &Case) -> TextInput {
    let (mask, segments) = (case.integers("attention_mask"), case.integers("token_type_ids"));
    let [rows, text] = case.shape("input_ids")[..] else { panic!("input_ids is no matrix") };
    let visible: Vec<i64> = mask.iter().zip(&segments).map(|(mask, segment)| mask * (1 - segment)).collect();
    let longest = visible.chunks(text).map(|row| row.iter().sum::<i64>()).max().unwrap() as usize;
    TextInput {
        input_ids: case.ids("input_ids").slice(s![.., 0..longest]),
        attention_mask: Some(case.int_tensor(visible, [rows, text]).slice(s![.., 0..longest])),
        token_type_ids: None,
    }
}

/// Patch vectors are computed once for both inputs with an image. `encode` gives the pooled vectors.
fn passes(
    case: &Case,
    model: &Mbsd,
    encode: impl Fn(&Mbsd, Option<TextInput>, Option<PatchInput>) -> Tensor<2>,
) -> Passes {
    let text = || TextInput {
        input_ids: case.ids("input_ids"),
        attention_mask: Some(case.ids("attention_mask")),
        token_type_ids: Some(case.ids("token_type_ids")),
    };
    let features = model.patch_features(case.tensor("pixel_values"));
    let patches = || Some(PatchInput { features: features.clone(), present: None });
    let pooled = [
        encode(model, Some(text()), patches()),
        encode(model, Some(text()), None),
        encode(model, Some(query(case)), patches()),
    ];
    let logits = pooled.clone().map(|pooled| model.match_logits(pooled));
    Passes { pooled, logits }
}

fn model(case: &Case) -> Mbsd {
    mbsd_net::load(case.weights(), &case.config, Some(Task::Match), &case.device).unwrap().0
}

#[test]
fn reference_stage2_released_recipe() {
    released_recipe(|model, text, patches| model.encode_patches(text, patches).pooled);
}

/// The same by the way that training takes.
#[test]
fn reference_stage2_released_recipe_from_first_tokens() {
    released_recipe(Mbsd::pooled_patches);
}

fn released_recipe(encode: impl Fn(&Mbsd, Option<TextInput>, Option<PatchInput>) -> Tensor<2>) {
    let case = Case::open("stage2");
    let model = model(&case);
    let passes = passes(&case, &model, encode);
    for ((name, pooled), logits) in ["qi", "qt", "qv"].into_iter().zip(&passes.pooled).zip(&passes.logits) {
        case.assert_close(&format!("pooled.{name}"), pooled.clone());
        case.assert_close(&format!("logits.{name}"), logits.clone());
    }
    let qi = passes.logits[0].clone();
    let losses = sdmi_losses(qi, Some(passes.uni_modal()), case.tensor("labels"), SdmiSettings::released());
    let uni_modal = losses.uni_modal.unwrap();
    for (name, loss) in [
        ("loss.qi", &losses.qi),
        ("loss.qt", &uni_modal.qt),
        ("loss.qv", &uni_modal.qv),
        ("loss.kl", &uni_modal.kl),
        ("loss.rs", &uni_modal.rs),
        ("loss.kl_text_teaches", &uni_modal.text_teaches.kl),
        ("loss.rs_text_teaches", &uni_modal.text_teaches.rs),
        ("loss.kl_image_teaches", &uni_modal.image_teaches.kl),
        ("loss.rs_image_teaches", &uni_modal.image_teaches.rs),
        ("loss", &losses.total),
    ] {
        case.assert_loss(name, loss);
    }
    case.assert_gradients(&model, losses.total);
}

#[test]
fn reference_stage2_paper_recipe() {
    let case = Case::open("stage2");
    let passes = passes(&case, &model(&case), Mbsd::pooled_patches);
    let qi = passes.logits[0].clone();
    let labels: Tensor<1> = case.tensor("labels");
    let losses = sdmi_losses(qi.clone(), Some(passes.uni_modal()), labels.clone(), SdmiSettings::paper());
    let uni_modal = losses.uni_modal.unwrap();
    case.assert_loss("paper.loss_kl", &uni_modal.kl);
    case.assert_loss("paper.loss_rs", &uni_modal.rs);

    // Eq. 7 to 9 of each row: a batch of one is averaged over nothing.
    let [weight, weak_strong, strong_weak, distance] = ["weight", "kl_weak_from_strong", "kl_strong_from_weak", "rs"]
        .map(|name| case.floats(&format!("paper.{name}")));
    for row in 0..weight.len() {
        let alone = || {
            let UniModal { qt_logits, qv_logits, qt_pooled, qv_pooled, present } = passes.uni_modal();
            UniModal {
                qt_logits: qt_logits.narrow(0, row, 1),
                qv_logits: qv_logits.narrow(0, row, 1),
                qt_pooled: qt_pooled.narrow(0, row, 1),
                qv_pooled: qv_pooled.narrow(0, row, 1),
                present,
            }
        };
        for (settings, kl) in [(SdmiSettings::paper(), weak_strong[row]), (SdmiSettings::released(), strong_weak[row])]
        {
            let (qi, label) = (qi.clone().narrow(0, row, 1), labels.clone().narrow(0, row, 1));
            let found = sdmi_losses(qi, Some(alone()), label, settings).uni_modal.unwrap();
            for (loss, expected) in [(found.kl, weight[row] * kl), (found.rs, weight[row] * distance[row])] {
                let loss = values(loss)[0];
                assert!((loss - expected).abs() <= TOLERANCE, "row {row}: {loss}, expected {expected}");
            }
        }
    }
}
