//! Kaleido-BERT: BERT over words and 55 patches of five sizes, each through a ResNet-50 (Zhuge et al., 2021).

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData, s};
use mbsd_spec::Config;

use super::patches::{self, PatchPixels};
use super::resnet::{ResNet, ResNetSize};
use super::{Bert, norm, papers};
use crate::image::{ImageInput, PatchInput};
use crate::initial::Initial;
use crate::model::Head;
use crate::norm::LayerNorm;
use crate::text::TextInput;

/// Patches along a side of the image, level by level.
const SIDES: [usize; 5] = [1, 2, 3, 4, 5];

/// What is told of a patch's place: left, top, right, bottom and area, as shares of the image.
const COORDINATES: usize = 5;

/// What the patches of one level pass through.
#[derive(Module, Debug)]
pub struct Level {
    /// Feature vectors to token vectors.
    pub projection: Linear,
    /// LayerNorm over the sum with place and type.
    pub norm: LayerNorm,
}

/// Kaleido-BERT with one task's head.
#[derive(Module, Debug)]
pub struct KaleidoBert {
    /// Patches to feature vectors; frozen.
    pub resnet: ResNet,
    /// From the whole image to its 25 parts.
    pub levels: Vec<Level>,
    /// A patch's coordinates to a vector.
    pub position: Linear,
    /// Added to the patches of each level, `[levels, hidden]`. The paper numbers these types 1 to 5, behind the text's 0; here the
    /// text has two segments, in a table of their own.
    pub kinds: Param<Tensor<2>>,
    /// Words, layers, pooler and head.
    pub bert: Bert,
    #[module(skip)]
    pixels: PatchPixels,
}

impl KaleidoBert {
    /// Image tokens of a row.
    pub const PATCHES: usize = 55;

    /// A model with initial weights and `classes` logits.
    pub fn init(config: &Config, resnet: ResNetSize, pixels: PatchPixels, classes: usize, device: &Device) -> Self {
        let initial: Initial = papers(device);
        let hidden = config.hidden_size;
        let level = |_| Level { projection: initial.linear(resnet.features(), hidden), norm: norm(config, initial) };
        Self {
            resnet: ResNet::init(config.num_channels, resnet, device),
            levels: SIDES.iter().map(level).collect(),
            position: initial.linear(COORDINATES, hidden),
            kinds: initial.table([SIDES.len(), hidden]),
            bert: Bert::init_with(config, Head::Classification { classes }, initial),
            pixels,
        }
    }

    /// Each patch's feature vector, `[batch, patches, features]`, of `pixel_values` `[batch, channels, height, width]`: the image
    /// encoder. Patches of equal size go through it together.
    pub fn patch_features(&self, pixel_values: Tensor<4>) -> Tensor<3> {
        let levels = SIDES.iter().map(|&side| patches::cut(pixel_values.clone(), side, self.pixels));
        match self.pixels {
            PatchPixels::Native => {
                Tensor::cat(levels.map(|patches| patches::features(&self.resnet, patches)).collect(), 1)
            }
            PatchPixels::Resized(_) => patches::features(&self.resnet, Tensor::cat(levels.collect(), 1)),
        }
    }

    /// The pooled vector of each row, `[batch, hidden]`, over [`KaleidoBert::patch_features`].
    pub fn pooled_patches(&self, text: TextInput, PatchInput { features, present }: PatchInput) -> Tensor<2> {
        let mut first = 0;
        let tokens = self.levels.iter().zip(SIDES).enumerate().map(|(index, (level, side))| {
            let patches = features.clone().narrow(1, first, side * side);
            first += side * side;
            let places = TensorData::new(coordinates(side), [1, side * side, COORDINATES]);
            let place = self.position.forward(Tensor::<3>::from_data(places, &features.device()));
            let kind = self.kinds.val().slice(s![index..index + 1, ..]).unsqueeze::<3>();
            level.norm.forward(level.projection.forward(patches) + place + kind)
        });
        let tokens = Tensor::cat(tokens.collect(), 1);
        self.bert.pooled_beside(text, tokens, present)
    }

    /// Logits, `[batch, classes]`.
    pub fn logits(&self, text: TextInput, ImageInput { pixel_values, present }: ImageInput) -> Tensor<2> {
        let features = self.patch_features(pixel_values);
        self.bert.classifier.forward(self.pooled_patches(text, PatchInput { features, present }))
    }
}

/// [`COORDINATES`] of `side` x `side` patches, row by row.
fn coordinates(side: usize) -> Vec<f32> {
    let at = |index: usize| index as f32 / side as f32;
    let places = (0..side).flat_map(|row| (0..side).map(move |column| (row, column)));
    places.flat_map(|(row, column)| [at(column), at(row), at(column + 1), at(row + 1), at(1) * at(1)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_are_counted_and_lie_where_they_are() {
        assert_eq!(SIDES.iter().map(|side| side * side).sum::<usize>(), KaleidoBert::PATCHES);
        assert_eq!(coordinates(1), [0.0, 0.0, 1.0, 1.0, 1.0]);
        assert_eq!(coordinates(2)[5..15], [0.5, 0.0, 1.0, 0.5, 0.25, 0.0, 0.5, 0.5, 1.0, 0.25]);
    }
}
