//! Masked language and masked patch modelling.

use burn::tensor::{Bool, Tensor, TensorData};
use mbsd_net::{Head, MaskedPatches, Mbsd, PatchInput, TextInput, load_pretraining, patches_of};
use mbsd_train::objective::stage1::{
    PatchLoss, PatchTargets, Stage1Losses, TokenLayout, TokenTargets, mpm_loss, stage1_losses,
};

use crate::case::{Case, TOLERANCE, values};

/// The label of a token that is not predicted.
const NOT_PREDICTED: i64 = -100;

/// The case, its model, the model's hidden states with the patches masked, and where everything stands in them.
fn encoded(case: &Case) -> (Mbsd, Tensor<3>, TokenLayout) {
    let fresh = Mbsd::init(&case.config, Head::Match, &case.device);
    let fresh = fresh.with_reconstruction(&case.config, 0.02, &case.device);
    let (model, report) = load_pretraining(fresh, case.weights()).unwrap();
    assert!(report.unexpected.is_empty(), "{report:?}");
    let masked: Vec<bool> = case.integers("masked_patches").iter().map(|&masked| masked != 0).collect();
    let shape = case.shape("masked_patches");
    let masked = Tensor::<2, Bool>::from_data(TensorData::new(masked, shape.clone()), &case.device);
    let features = model.patch_features(case.tensor("pixel_values"));
    let parts = model.reconstruction.as_ref().unwrap();
    let features = parts.mask_patches(features, MaskedPatches { masked, source: None });
    let text = TextInput {
        input_ids: case.ids("input_ids"),
        attention_mask: Some(case.ids("attention_mask")),
        token_type_ids: None,
    };
    let hidden = model.encode_patches(Some(text), Some(PatchInput { features, present: None })).last_hidden_state;
    let layout = TokenLayout { text: case.shape("input_ids")[1], patches: shape[1] };
    (model, hidden, layout)
}

fn targets(case: &Case, layout: TokenLayout) -> (TokenTargets, PatchTargets) {
    let flat = |values: Vec<i64>| {
        let length = values.len();
        case.int_tensor(values, [length])
    };
    let chosen = |name: &str, keep: fn(i64) -> bool| -> Vec<usize> {
        let values = case.integers(name);
        (0..values.len()).filter(|&index| keep(values[index])).collect()
    };
    let tokens = chosen("labels", |label| label != NOT_PREDICTED);
    let labels = case.integers("labels");
    let tokens = TokenTargets {
        positions: flat(tokens.iter().map(|t| layout.token(t / layout.text, t % layout.text) as i64).collect()),
        labels: flat(tokens.iter().map(|&t| labels[t]).collect()),
    };
    let patches = chosen("masked_patches", |masked| masked != 0);
    let pixels = patches_of(case.tensor("pixel_values"), case.config.patch_size).flatten::<2>(0, 1);
    let patches = PatchTargets {
        positions: flat(patches.iter().map(|p| layout.patch(p / layout.patches, p % layout.patches) as i64).collect()),
        pixels: pixels.select(0, flat(patches.iter().map(|&p| p as i64).collect())),
    };
    (tokens, patches)
}

#[test]
fn reference_stage1_predictions() {
    let case = Case::open("stage1");
    let (model, hidden, layout) = encoded(&case);
    let parts = model.reconstruction.as_ref().unwrap();
    let [batch, _, width] = hidden.dims();
    let rows = |from: usize, count: usize| hidden.clone().narrow(1, from, count).reshape([batch * count, width]);
    let logits = parts.mlm_logits(rows(0, layout.text), &model.embeddings.word);
    case.assert_close("mlm_logits", logits);
    let size = case.config.patch_size;
    let pixels = parts.patch_pixels(rows(layout.text + 1, layout.patches));
    let side = case.config.image_size / size;
    // Back to an image, channel by channel: the order the reference has, written out.
    let image = pixels.reshape([batch, side, side, 3, size, size]).permute([0, 3, 1, 4, 2, 5]);
    case.assert_close("reconstructed_pixels", image.reshape([batch, 3, side * size, side * size]));
}

#[test]
fn reference_stage1_losses_and_gradients() {
    let case = Case::open("stage1");
    let (model, hidden, layout) = encoded(&case);
    let (tokens, patches) = targets(&case, layout);
    let parts = model.reconstruction.as_ref().unwrap();
    let losses = stage1_losses(parts, &model.embeddings.word, hidden, Some(tokens), Some(patches), PatchLoss::Mean);
    let Stage1Losses { mlm, mpm, total } = losses;
    case.assert_loss("mlm_loss", &mlm.unwrap());
    case.assert_loss("mpm_loss", &mpm.unwrap());
    case.assert_loss("loss", &total);
    case.assert_gradients(&model, total);
}

/// Eq. 2 to the letter, from the reference's own reconstruction.
#[test]
fn reference_stage1_patch_loss_as_a_sum() {
    let case = Case::open("stage1");
    let layout = TokenLayout { text: 0, patches: case.shape("masked_patches")[1] };
    let (_, PatchTargets { pixels, .. }) = targets(&case, TokenLayout { text: 1, ..layout });
    let masked: Vec<i64> = (0_i64..)
        .zip(case.integers("masked_patches"))
        .filter(|(_, masked)| *masked != 0)
        .map(|(patch, _)| patch)
        .collect();
    let count = masked.len();
    let reconstructed = patches_of(case.tensor("reconstructed_pixels"), case.config.patch_size).flatten::<2>(0, 1);
    let predicted = reconstructed.select(0, case.int_tensor(masked, [count]));
    let [_, size] = pixels.dims();
    let sum = values(mpm_loss(predicted, pixels, PatchLoss::Sum))[0];
    let expected = case.floats("mpm_loss")[0] * size as f64;
    assert!((sum - expected).abs() <= TOLERANCE * expected, "{sum}, expected {expected}");
}
