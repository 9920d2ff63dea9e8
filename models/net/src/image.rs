//! The image side: pixels to token vectors.

use burn::module::{Module, Param};
use burn::nn::conv::Conv2d;
use burn::nn::{Dropout, DropoutConfig};
use burn::tensor::activation::relu;
use burn::tensor::module::linear;
use burn::tensor::{DType, Tensor};
use mbsd_spec::config::CONV_LAYER_NORM_EPS;
use mbsd_spec::{Config, Patchify};

use crate::arithmetic::like;
use crate::initial::Initial;
use crate::norm::LayerNorm;

/// A batch of preprocessed images.
#[derive(Debug, Clone)]
pub struct ImageInput {
    /// Normalised RGB, `[batch, 3, height, width]`.
    pub pixel_values: Tensor<4>,
    /// 1 for a row with an image, 0 for one whose image positions nobody may attend to, `[batch]`.
    /// `None` where every row has one.
    pub present: Option<Tensor<1>>,
}

/// A batch of patch vectors, as [`ImageEmbeddings::patch_features`] and other models' image encoders make them: for callers
/// that use them twice or hide some.
#[derive(Debug, Clone)]
pub struct PatchInput {
    /// Without positions, `[batch, patches, width]`; the width is `hidden` but where a ResNet makes them.
    pub features: Tensor<3>,
    /// As in [`ImageInput`], `[batch]`.
    pub present: Option<Tensor<1>>,
}

/// One convolution of the patchify network, with what follows it.
#[derive(Module, Debug)]
pub struct PatchifyStage {
    /// Kernel and stride are equal: no pixel is seen twice.
    pub convolution: Conv2d,
    /// LayerNorm over the channels, then ReLU; `None` in the last stage, which has neither.
    pub norm: Option<LayerNorm>,
}

impl PatchifyStage {
    /// `[batch, channels, height, width]` to `[batch, channels', height / k, width / k]`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let output = self.convolution.forward(input);
        match &self.norm {
            Some(norm) => relu(norm.forward(output.permute([0, 2, 3, 1]))).permute([0, 3, 1, 2]),
            None => output,
        }
    }

    /// The same with the channels last, `[batch, height, width, channels]` to `[batch, height / k, width / k,
    /// channels']`, as a linear map over each window of pixels.
    fn forward_channels_last(&self, input: Tensor<4>) -> Tensor<4> {
        let [batch, height, width, channels] = input.dims();
        let [size, _] = self.convolution.kernel_size;
        let (rows, columns) = (height / size, width / size);
        let windows = input
            .reshape([batch, rows, size, columns, size, channels])
            .permute([0, 1, 3, 2, 4, 5])
            .reshape([batch * rows * columns, size * size * channels]);
        let weight = like(self.convolution.weight.val(), windows.dtype());
        let [outputs, ..] = weight.dims();
        let weight = weight.permute([2, 3, 1, 0]).reshape([size * size * channels, outputs]);
        let bias = self.convolution.bias.as_ref().map(|bias| like(bias.val(), windows.dtype()));
        let output = linear(windows, weight, bias);
        let output = match &self.norm {
            Some(norm) => relu(norm.forward(output)),
            None => output,
        };
        output.reshape([batch, rows, columns, outputs])
    }
}

/// Patch vectors with learned positions behind a learned image `[CLS]` (paper, section 3.2).
#[derive(Module, Debug)]
pub struct ImageEmbeddings {
    /// The patchify network: 4 stages down to one pixel a patch, or a single one.
    pub patchify: Vec<PatchifyStage>,
    /// The image `[CLS]`, `[1, 1, hidden]`; it gets no position.
    pub cls: Param<Tensor<3>>,
    /// Patch positions, `[1, patches, hidden]`.
    pub position: Param<Tensor<3>>,
    dropout: Dropout,
}

impl ImageEmbeddings {
    pub(crate) fn init(config: &Config, initial: Initial) -> Self {
        let last = match config.patch_size {
            16 => 1,
            _ => 2,
        };
        let (channels, hidden) = (config.num_channels, config.hidden_size);
        let stages = match config.patchify {
            Patchify::Cnn => vec![(channels, 64, 4), (64, 192, 2), (192, 384, 2), (384, hidden, last)],
            Patchify::Linear => vec![(channels, hidden, config.patch_size)],
        };
        let patchify = stages
            .iter()
            .enumerate()
            .map(|(index, &(inputs, outputs, size))| PatchifyStage {
                convolution: initial.convolution([inputs, outputs], size),
                norm: (index + 1 < stages.len()).then(|| LayerNorm::init(outputs, CONV_LAYER_NORM_EPS, initial.device)),
            })
            .collect();
        Self {
            patchify,
            cls: initial.zeros([1, 1, config.hidden_size]),
            position: initial.zeros([1, config.patches(), config.hidden_size]),
            dropout: DropoutConfig::new(config.hidden_dropout_prob).init(),
        }
    }

    /// Patch vectors as the patchify network makes them, row by row of the image: `[batch, patches, hidden]`.
    pub fn patch_features(&self, pixel_values: Tensor<4>) -> Tensor<3> {
        // On a CPU the backward of a convolution takes twice as long as that of the linear map it is here.
        if pixel_values.device().is_autodiff() || pixel_values.dtype() != DType::F32 {
            let pixels = pixel_values.permute([0, 2, 3, 1]);
            let features = self.patchify.iter().fold(pixels, |features, stage| stage.forward_channels_last(features));
            return features.flatten::<3>(1, 2);
        }
        let features = self.patchify.iter().fold(pixel_values, |features, stage| stage.forward(features));
        features.flatten::<3>(2, 3).swap_dims(1, 2)
    }

    /// Token vectors, `[batch, 1 + patches, hidden]`, of patch vectors, `[batch, patches, hidden]`.
    pub fn forward(&self, patch_features: Tensor<3>) -> Tensor<3> {
        let patches = patch_features + self.position.val();
        let [batch, _, hidden] = patches.dims();
        let cls = self.cls.val().expand([batch, 1, hidden]);
        self.dropout.forward(Tensor::cat(vec![cls, patches], 1))
    }
}
