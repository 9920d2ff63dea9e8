//! What stage 1 of pre-training adds to the model: the mask vector, and heads that predict what was hidden (paper,
//! section 3.4).

use burn::module::{Module, Param};
use burn::nn::{Embedding, Linear};
use burn::tensor::{Bool, Int, Tensor};
use mbsd_spec::Config;

use crate::arithmetic::single;
use crate::initial::Initial;
use crate::kernels::gelu;
use crate::norm::LayerNorm;

/// Which patch vectors of a batch are replaced, and by what.
#[derive(Debug, Clone)]
pub struct MaskedPatches {
    /// Replaced by the mask vector, `[batch, patches]`.
    pub masked: Tensor<2, Bool>,
    /// Of the others, the row of `[batch * patches]` whose vector each takes, `[batch * patches]`: its own where it is
    /// kept. `None` keeps them all.
    pub source: Option<Tensor<1, Int>>,
}

/// The parts that only stage 1 trains.
#[derive(Module, Debug)]
pub struct Reconstruction {
    /// Stands for a masked patch, `[hidden]`.
    pub mask: Param<Tensor<1>>,
    /// Text head: hidden to hidden; exact GELU follows.
    pub transform: Linear,
    /// LayerNorm over the transformed vectors.
    pub norm: LayerNorm,
    /// Added to the logits, `[vocabulary]`. The map to the vocabulary is the table of word vectors itself.
    pub bias: Param<Tensor<1>>,
    /// Image head: hidden to the 3p^2 values of a patch.
    pub pixels: Linear,
}

impl Reconstruction {
    pub(crate) fn init(config: &Config, initial: Initial) -> Self {
        let hidden = config.hidden_size;
        Self {
            mask: initial.zeros([hidden]),
            transform: initial.linear(hidden, hidden),
            norm: LayerNorm::init(hidden, config.layer_norm_eps, initial.device),
            bias: initial.zeros([config.vocab_size]),
            pixels: initial.linear(hidden, config.num_channels * config.patch_size * config.patch_size),
        }
    }

    /// Patch vectors with some of them hidden, `[batch, patches, hidden]` to the same. `features` come from the patchify
    /// network: positions are added afterwards, so that the model knows which patch to predict.
    pub fn mask_patches(&self, features: Tensor<3>, patches: MaskedPatches) -> Tensor<3> {
        let [batch, count, hidden] = features.dims();
        let features = match patches.source {
            Some(source) => features.reshape([batch * count, hidden]).select(0, source).reshape([batch, count, hidden]),
            None => features,
        };
        let masked = patches.masked.unsqueeze_dim::<3>(2).expand([batch, count, hidden]);
        features.mask_where(masked, self.mask.val().reshape([1, 1, hidden]).expand([batch, count, hidden]))
    }

    /// Logits over the vocabulary for token vectors: `[n, hidden]` to `[n, vocabulary]`, as
    /// LayerNorm(GELU(dense(x))) W^T + bias with the word vectors W, `[vocabulary, hidden]`; in single precision.
    pub fn mlm_logits(&self, hidden: Tensor<2>, words: &Embedding) -> Tensor<2> {
        let transformed = self.norm.forward(gelu(self.transform.forward(single(hidden))));
        transformed.matmul(words.weight.val().transpose()) + self.bias.val().unsqueeze::<2>()
    }

    /// Pixels for patch vectors: `[n, hidden]` to `[n, 3p^2]`, in the order of [`patches_of`]; in single precision.
    pub fn patch_pixels(&self, hidden: Tensor<2>) -> Tensor<2> {
        self.pixels.forward(single(hidden))
    }
}

/// Images cut into patches of `size` x `size` pixels: `[batch, channels, height, width]` to `[batch, patches, channels *
/// size^2]`. Patches go row by row of the image, the values of one as pixel shuffle has them: pixel (y, x) of channel c is
/// value (c * size + y) * size + x.
pub fn patches_of(pixel_values: Tensor<4>, size: usize) -> Tensor<3> {
    let [batch, channels, height, width] = pixel_values.dims();
    let (rows, columns) = (height / size, width / size);
    pixel_values.reshape([batch, channels, rows, size, columns, size]).permute([0, 2, 4, 1, 3, 5]).reshape([
        batch,
        rows * columns,
        channels * size * size,
    ])
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    #[test]
    fn patches_are_cut_row_by_row_and_channel_by_channel() {
        let device = Device::flex();
        let (height, width, size) = (4, 6, 2);
        let values: Vec<f32> = (0..2 * height * width).map(|value| value as f32).collect();
        let image = Tensor::from_data(TensorData::new(values, [1, 2, height, width]), &device);
        let patches = patches_of(image, size);
        assert_eq!(patches.dims(), [1, 6, 8]);
        let patches: Vec<f32> = patches.into_data().iter::<f32>().collect();
        // Patch 4 is the second of the second row: rows 2 and 3, columns 2 and 3.
        assert_eq!(patches[4 * 8..5 * 8], [14.0, 15.0, 20.0, 21.0, 38.0, 39.0, 44.0, 45.0]);
    }

    #[test]
    fn patches_are_masked_exchanged_or_kept() {
        let device = Device::flex();
        let config = Config { hidden_size: 2, ..Config::base() };
        let mut parts = Reconstruction::init(&config, Initial { device: &device, standard_deviation: 0.02 });
        parts.mask = Param::from_tensor(Tensor::from_data([-1.0, -2.0], &device));
        let features = || Tensor::<3>::from_data([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]], &device);
        let masked = || Tensor::from_data([[true, false, false]], &device);
        let replaced = |source: Option<[i64; 3]>| -> Vec<f32> {
            let source = source.map(|source| Tensor::from_data(source, &device));
            let patches = MaskedPatches { masked: masked(), source };
            parts.mask_patches(features(), patches).into_data().iter::<f32>().collect()
        };
        assert_eq!(replaced(None), [-1.0, -2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(
            replaced(Some([0, 0, 2])),
            [-1.0, -2.0, 1.0, 2.0, 5.0, 6.0],
            "patch 1 takes the vector that patch 0 had before it was masked"
        );
    }
}
