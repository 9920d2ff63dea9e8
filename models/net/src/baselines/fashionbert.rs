//! FashionBERT: BERT over words and 16 patches, each through a ResNet-50 (Gao et al., 2020).

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use mbsd_spec::Config;

use super::patches::{self, PatchPixels};
use super::resnet::{ResNet, ResNetSize};
use super::{Bert, norm, papers};
use crate::image::{ImageInput, PatchInput};
use crate::initial::Initial;
use crate::model::Head;
use crate::norm::LayerNorm;
use crate::text::TextInput;

/// Patches along a side of the image.
const SIDE: usize = 4;

/// FashionBERT with one task's head.
#[derive(Module, Debug)]
pub struct FashionBert {
    /// Patches to feature vectors; frozen.
    pub resnet: ResNet,
    /// Feature vectors to token vectors.
    pub projection: Linear,
    /// Patch positions, `[1, patches, hidden]`.
    pub position: Param<Tensor<3>>,
    /// Added to every patch, `[1, 1, hidden]`: the image's type.
    pub kind: Param<Tensor<3>>,
    /// LayerNorm over the sum.
    pub norm: LayerNorm,
    /// Words, layers, pooler and head.
    pub bert: Bert,
    #[module(skip)]
    pixels: PatchPixels,
}

impl FashionBert {
    /// Image tokens of a row.
    pub const PATCHES: usize = SIDE * SIDE;

    /// A model with initial weights and `classes` logits.
    pub fn init(config: &Config, resnet: ResNetSize, pixels: PatchPixels, classes: usize, device: &Device) -> Self {
        let initial: Initial = papers(device);
        let hidden = config.hidden_size;
        Self {
            resnet: ResNet::init(config.num_channels, resnet, device),
            projection: initial.linear(resnet.features(), hidden),
            position: initial.table([1, Self::PATCHES, hidden]),
            kind: initial.table([1, 1, hidden]),
            norm: norm(config, initial),
            bert: Bert::init_with(config, Head::Classification { classes }, initial),
            pixels,
        }
    }

    /// Each patch's feature vector, `[batch, patches, features]`, of `pixel_values` `[batch, channels, height, width]`: the image
    /// encoder.
    pub fn patch_features(&self, pixel_values: Tensor<4>) -> Tensor<3> {
        patches::features(&self.resnet, patches::cut(pixel_values, SIDE, self.pixels))
    }

    /// The pooled vector of each row, `[batch, hidden]`, over [`FashionBert::patch_features`].
    pub fn pooled_patches(&self, text: TextInput, PatchInput { features, present }: PatchInput) -> Tensor<2> {
        let tokens = self.projection.forward(features) + self.position.val() + self.kind.val();
        self.bert.pooled_beside(text, self.norm.forward(tokens), present)
    }

    /// Logits, `[batch, classes]`.
    pub fn logits(&self, text: TextInput, ImageInput { pixel_values, present }: ImageInput) -> Tensor<2> {
        let features = self.patch_features(pixel_values);
        self.bert.classifier.forward(self.pooled_patches(text, PatchInput { features, present }))
    }
}
