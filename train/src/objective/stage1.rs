//! Preliminary pre-training: masked language modelling and masked patch modelling (paper, section 3.4).

use burn::nn::Embedding;
use burn::tensor::{Int, Tensor};
use mbsd_net::Reconstruction;
use serde::{Deserialize, Serialize};

use super::cross_entropy;

/// How the error of a masked patch becomes a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PatchLoss {
    /// Mean of |y - y'| over the patch's 3p^2 values: of the size of the language loss.
    #[default]
    Mean,
    /// Their sum, Eq. 2 to the letter: 3072 times as much at patch 32.
    Sum,
}

/// Where tokens and patches stand among the flattened hidden states of a batch, `[batch * tokens, hidden]`: text, image
/// `[CLS]`, patches in each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenLayout {
    /// Text tokens of a row, padding included; 0 without text.
    pub text: usize,
    /// Patches of a row; 0 without images.
    pub patches: usize,
}

impl TokenLayout {
    /// Tokens of a row.
    pub fn tokens(self) -> usize {
        self.text + if self.patches > 0 { 1 + self.patches } else { 0 }
    }

    /// The index of a text token.
    pub fn token(self, row: usize, token: usize) -> usize {
        row * self.tokens() + token
    }

    /// The index of a patch.
    pub fn patch(self, row: usize, patch: usize) -> usize {
        row * self.tokens() + self.text + 1 + patch
    }
}

/// The tokens to predict.
#[derive(Debug, Clone)]
pub struct TokenTargets {
    /// Where they stand, as [`TokenLayout::token`] counts, `[n]`.
    pub positions: Tensor<1, Int>,
    /// The ids that stood there before masking, `[n]`.
    pub labels: Tensor<1, Int>,
}

/// The patches to predict.
#[derive(Debug, Clone)]
pub struct PatchTargets {
    /// Where they stand, as [`TokenLayout::patch`] counts, `[m]`.
    pub positions: Tensor<1, Int>,
    /// Their pixels as the model is given them, in the order of [`mbsd_net::patches_of`], `[m, 3p^2]`.
    pub pixels: Tensor<2>,
}

/// The losses of a batch, `[1]` each. A part with nothing to predict has none.
#[derive(Debug, Clone)]
pub struct Stage1Losses {
    /// Masked language modelling, Eq. 1.
    pub mlm: Option<Tensor<1>>,
    /// Masked patch modelling, Eq. 2.
    pub mpm: Option<Tensor<1>>,
    /// Their sum; 0 with gradients of 0 where nothing is masked.
    pub total: Tensor<1>,
}

/// Losses over the model's hidden states, `[batch, tokens, hidden]`. Only what is to be predicted passes through the
/// heads; `words` is the table of word vectors the text head shares.
pub fn stage1_losses(
    reconstruction: &Reconstruction,
    words: &Embedding,
    hidden: Tensor<3>,
    tokens: Option<TokenTargets>,
    patches: Option<PatchTargets>,
    patch_loss: PatchLoss,
) -> Stage1Losses {
    let hidden = hidden.flatten::<2>(0, 1);
    let mlm = tokens.filter(|targets| targets.positions.dims()[0] > 0).map(|TokenTargets { positions, labels }| {
        let logits = reconstruction.mlm_logits(hidden.clone().select(0, positions), words);
        mlm_loss(logits, labels)
    });
    let mpm = patches.filter(|targets| targets.positions.dims()[0] > 0).map(|PatchTargets { positions, pixels }| {
        let predicted = reconstruction.patch_pixels(hidden.clone().select(0, positions));
        mpm_loss(predicted, pixels, patch_loss)
    });
    let total = match (mlm.clone(), mpm.clone()) {
        (Some(mlm), Some(mpm)) => mlm + mpm,
        (Some(loss), None) | (None, Some(loss)) => loss,
        (None, None) => hidden.narrow(0, 0, 1).sum() * 0.0,
    };
    Stage1Losses { mlm, mpm, total }
}

/// Mean of -log p(token) over the predicted tokens (Eq. 1), for logits `[n, vocabulary]` and ids `[n]`.
pub fn mlm_loss(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    cross_entropy(logits, labels, 0.0)
}

/// L1 distance of masked patches, averaged over them (Eq. 2), for `[m, 3p^2]` each.
pub fn mpm_loss(predicted: Tensor<2>, pixels: Tensor<2>, patch_loss: PatchLoss) -> Tensor<1> {
    let [_, values] = pixels.dims();
    let mean = (predicted - pixels).abs().mean();
    match patch_loss {
        PatchLoss::Mean => mean,
        PatchLoss::Sum => mean * values as f64,
    }
}

#[cfg(test)]
mod tests {
    use burn::optim::GradientsParams;
    use burn::tensor::Device;
    use mbsd_net::{Head, Mbsd, TextInput};
    use mbsd_spec::Config;

    use super::*;

    fn scalar(loss: Tensor<1>) -> f32 {
        loss.into_scalar::<f32>()
    }

    #[test]
    fn the_sum_over_a_patch_is_its_mean_times_the_number_of_values() {
        let device = Device::flex();
        let predicted = Tensor::from_data([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]], &device);
        let pixels = Tensor::from_data([[0.0, 4.0, 3.0], [0.0, 0.0, 3.0]], &device);
        let loss = |form| scalar(mpm_loss(predicted.clone(), pixels.clone(), form));
        assert_eq!(loss(PatchLoss::Sum), (3.0 + 3.0) / 2.0);
        assert_eq!(loss(PatchLoss::Mean), (1.0 + 1.0) / 2.0);
    }

    #[test]
    fn a_batch_with_nothing_masked_has_a_loss_of_zero() {
        let device = Device::flex().autodiff();
        let config =
            Config { vocab_size: 8, hidden_size: 8, num_hidden_layers: 1, intermediate_size: 8, ..Config::base() };
        let config = Config { num_attention_heads: 2, max_position_embeddings: 8, image_size: 32, ..config };
        let model = Mbsd::init(&config, Head::Match, &device).with_reconstruction(&config, 0.02, &device);
        let text = || TextInput {
            input_ids: Tensor::from_data([[2, 5, 3]], &device),
            attention_mask: None,
            token_type_ids: None,
        };
        let losses = |tokens| {
            let hidden = model.encode(Some(text()), None).last_hidden_state;
            let parts = model.reconstruction.as_ref().unwrap();
            stage1_losses(parts, &model.embeddings.word, hidden, tokens, None, PatchLoss::Mean)
        };
        let nothing = losses(None);
        assert!(nothing.mlm.is_none() && nothing.mpm.is_none());
        assert_eq!(scalar(nothing.total.clone()), 0.0);
        let gradients = GradientsParams::from_grads(nothing.total.backward(), &model);
        let gradient = gradients.get::<2>(model.embeddings.word.weight.id).unwrap();
        assert_eq!(gradient.abs().max().into_scalar::<f32>(), 0.0);

        let int = |values: [i64; 1]| Tensor::<1, Int>::from_data(values, &device);
        let one = losses(Some(TokenTargets { positions: int([1]), labels: int([4]) }));
        assert!(scalar(one.total) > 0.0);
    }

    #[test]
    fn positions_count_the_image_cls() {
        let layout = TokenLayout { text: 5, patches: 4 };
        assert_eq!(layout.tokens(), 10);
        assert_eq!((layout.token(2, 3), layout.patch(1, 0), layout.patch(1, 3)), (23, 16, 19));
        assert_eq!(TokenLayout { text: 5, patches: 0 }.token(2, 3), 13);
    }
}
