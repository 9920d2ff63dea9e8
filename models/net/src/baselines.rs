//! Models that MBSD is compared with, at the sizes of a [`Config`]: BERT over text, ViT over images, ViLT, FashionBERT and
//! Kaleido-BERT over both.
//!
//! Each gives one pooled vector a row and puts a linear map on it. They share MBSD's parts, so that a difference between
//! figures is one of architecture.

mod fashionbert;
mod kaleido;
mod patches;
mod resnet;

use burn::module::{Module, Param};
use burn::nn::conv::Conv2d;
use burn::nn::{Embedding, Linear};
use burn::tensor::{Device, Int, Tensor, s};
use mbsd_spec::Config;
use mbsd_spec::config::MODALITIES;

pub use fashionbert::FashionBert;
pub use kaleido::KaleidoBert;
pub use patches::PatchPixels;
pub use resnet::{ResNet, ResNetSize};

use crate::encoder::Encoder;
use crate::image::{ImageInput, PatchInput};
use crate::initial::{Initial, STANDARD_DEVIATION};
use crate::model::{Head, Pooler, hidden_images, hidden_positions};
use crate::norm::LayerNorm;
use crate::text::{TextEmbeddings, TextInput};

fn norm(config: &Config, initial: Initial) -> LayerNorm {
    LayerNorm::init(config.hidden_size, config.layer_norm_eps, initial.device)
}

fn pooler(config: &Config, initial: Initial) -> Pooler {
    Pooler { dense: initial.linear(config.hidden_size, config.hidden_size) }
}

fn classifier(config: &Config, head: Head, initial: Initial) -> Linear {
    let (inputs, outputs) = head.dimensions(config.hidden_size);
    initial.linear(inputs, outputs)
}

/// Weights as the paper draws them.
fn papers(device: &Device) -> Initial<'_> {
    Initial { device, standard_deviation: STANDARD_DEVIATION }
}

/// What is added to the scores of text positions, `[batch, text]`; zeros where the input has no mask.
fn text_mask(input: &TextInput) -> Tensor<2> {
    hidden_positions(input.attention_mask.clone().unwrap_or_else(|| input.input_ids.ones_like()))
}

/// What is added to the scores of text positions with image tokens behind them, `[batch, 1, 1, text + image tokens]`. Rows
/// without an image attend to their text alone.
fn mask_beside(text: &TextInput, images: &Tensor<3>, present: Option<Tensor<1>>) -> Tensor<4> {
    let [batch, count, _] = images.dims();
    let absent = match present {
        Some(present) => hidden_images(present).expand([batch, count]),
        None => Tensor::zeros([batch, count], &images.device()),
    };
    Tensor::cat(vec![text_mask(text), absent], 1).unsqueeze_dims::<4>(&[1, 1])
}

/// BERT over text: post-LN layers, tanh pooler (Devlin et al., 2019).
#[derive(Module, Debug)]
pub struct Bert {
    /// Token ids to vectors.
    pub embeddings: TextEmbeddings,
    /// The layers.
    pub encoder: Encoder,
    /// First token to pooled vector.
    pub pooler: Pooler,
    /// The head's linear map.
    pub classifier: Linear,
    #[module(skip)]
    pub(crate) head: Head,
}

impl Bert {
    /// A model with initial weights and `classes` logits.
    pub fn init(config: &Config, classes: usize, device: &Device) -> Self {
        Self::init_with(config, Head::Classification { classes }, papers(device))
    }

    pub(crate) fn init_with(config: &Config, head: Head, initial: Initial) -> Self {
        Self {
            embeddings: TextEmbeddings::init(config, initial),
            encoder: Encoder::init(config, initial),
            pooler: pooler(config, initial),
            classifier: classifier(config, head, initial),
            head,
        }
    }

    /// The pooled vector of each row, `[batch, hidden]`.
    pub fn pooled(&self, text: TextInput) -> Tensor<2> {
        let mask = text_mask(&text).unsqueeze_dims::<4>(&[1, 1]);
        let hidden = self.embeddings.forward(text.input_ids, text.token_type_ids);
        self.pooler.forward(self.encoder.forward_first(hidden, Some(mask)))
    }

    /// As [`Bert::pooled`], with image tokens `[batch, tokens, hidden]` behind the text.
    fn pooled_beside(&self, text: TextInput, images: Tensor<3>, present: Option<Tensor<1>>) -> Tensor<2> {
        let mask = mask_beside(&text, &images, present);
        let words = self.embeddings.forward(text.input_ids, text.token_type_ids);
        let tokens = Tensor::cat(vec![words, images], 1);
        self.pooler.forward(self.encoder.forward_first(tokens, Some(mask)))
    }

    /// Logits, `[batch, classes]`.
    pub fn logits(&self, text: TextInput) -> Tensor<2> {
        self.classifier.forward(self.pooled(text))
    }
}

/// Patches as linear maps of their pixels, behind a learned `[CLS]`, all with learned positions: `[batch, 1 + patches, hidden]`.
#[derive(Module, Debug)]
pub struct LinearPatches {
    /// One step a patch.
    pub projection: Conv2d,
    /// `[1, 1, hidden]`.
    pub cls: Param<Tensor<3>>,
    /// `[1, 1 + patches, hidden]`.
    pub position: Param<Tensor<3>>,
}

impl LinearPatches {
    fn init(config: &Config, initial: Initial) -> Self {
        Self {
            projection: initial.convolution([config.num_channels, config.hidden_size], config.patch_size),
            cls: initial.table([1, 1, config.hidden_size]),
            position: initial.table([1, 1 + config.patches(), config.hidden_size]),
        }
    }

    /// Patch vectors without positions, `[batch, patches, hidden]`, of images `[batch, 3, height, width]`.
    pub fn features(&self, pixel_values: Tensor<4>) -> Tensor<3> {
        self.projection.forward(pixel_values).flatten::<3>(2, 3).swap_dims(1, 2)
    }

    /// Token vectors of [`LinearPatches::features`].
    pub fn forward(&self, patches: Tensor<3>) -> Tensor<3> {
        let [batch, _, hidden] = patches.dims();
        Tensor::cat(vec![self.cls.val().expand([batch, 1, hidden]), patches], 1) + self.position.val()
    }
}

/// ViT over images: linear patches, pre-LN layers, a final LayerNorm (Dosovitskiy et al., 2021). For the match task the tag's
/// tokens follow the patches, as rows of a table drawn at random.
#[derive(Module, Debug)]
pub struct Vit {
    /// Pixels to vectors.
    pub patches: LinearPatches,
    /// Tag tokens to vectors.
    pub tags: Embedding,
    /// The layers.
    pub encoder: Encoder,
    /// LayerNorm over the result.
    pub norm: LayerNorm,
    /// The head's linear map.
    pub classifier: Linear,
    #[module(skip)]
    pub(crate) head: Head,
}

impl Vit {
    /// A model with initial weights and `classes` logits.
    pub fn init(config: &Config, classes: usize, device: &Device) -> Self {
        Self::init_with(config, Head::Classification { classes }, papers(device))
    }

    pub(crate) fn init_with(config: &Config, head: Head, initial: Initial) -> Self {
        Self {
            patches: LinearPatches::init(config, initial),
            tags: initial.embedding(config.vocab_size, config.hidden_size),
            encoder: Encoder::init(config, initial),
            norm: norm(config, initial),
            classifier: classifier(config, head, initial),
            head,
        }
    }

    /// The image `[CLS]` of each row, `[batch, hidden]`, over `pixel_values` `[batch, 3, height, width]` and the tags' ids with
    /// their mask where some are padded, `[batch, tag]` each.
    pub fn pooled(&self, pixel_values: Tensor<4>, tag: Option<(Tensor<2, Int>, Option<Tensor<2, Int>>)>) -> Tensor<2> {
        let images = self.patches.forward(self.patches.features(pixel_values));
        let (tokens, mask) = match tag {
            None => (images, None),
            Some((ids, mask)) => {
                let [batch, count, _] = images.dims();
                let open = Tensor::zeros([batch, count], &images.device());
                let mask =
                    mask.map(|mask| Tensor::cat(vec![open, hidden_positions(mask)], 1).unsqueeze_dims::<4>(&[1, 1]));
                (Tensor::cat(vec![images, self.tags.forward(ids)], 1), mask)
            }
        };
        self.norm.forward(self.encoder.forward_first_pre_norm(tokens, mask)).squeeze_dim::<2>(1)
    }

    /// Logits, `[batch, classes]`.
    pub fn logits(&self, pixel_values: Tensor<4>, tag: Option<(Tensor<2, Int>, Option<Tensor<2, Int>>)>) -> Tensor<2> {
        self.classifier.forward(self.pooled(pixel_values, tag))
    }
}

/// ViLT over text and image: linear patches beside BERT's embeddings, modality vectors, pre-LN layers, a final LayerNorm, a tanh
/// pooler (Kim et al., 2021).
#[derive(Module, Debug)]
pub struct Vilt {
    /// Token ids to vectors.
    pub embeddings: TextEmbeddings,
    /// Pixels to vectors.
    pub patches: LinearPatches,
    /// Added after the embeddings: row 0 text, row 1 image; `[2, hidden]`.
    pub modality: Param<Tensor<2>>,
    /// The layers.
    pub encoder: Encoder,
    /// LayerNorm over the result.
    pub norm: LayerNorm,
    /// First token to pooled vector.
    pub pooler: Pooler,
    /// The head's linear map.
    pub classifier: Linear,
    #[module(skip)]
    pub(crate) head: Head,
}

impl Vilt {
    /// A model with initial weights and `classes` logits.
    pub fn init(config: &Config, classes: usize, device: &Device) -> Self {
        Self::init_with(config, Head::Classification { classes }, papers(device))
    }

    pub(crate) fn init_with(config: &Config, head: Head, initial: Initial) -> Self {
        Self {
            embeddings: TextEmbeddings::init(config, initial),
            patches: LinearPatches::init(config, initial),
            modality: initial.table([MODALITIES, config.hidden_size]),
            encoder: Encoder::init(config, initial),
            norm: norm(config, initial),
            pooler: pooler(config, initial),
            classifier: classifier(config, head, initial),
            head,
        }
    }

    /// The pooled vector of each row, `[batch, hidden]`. Rows without an image attend to their text alone.
    pub fn pooled(&self, text: TextInput, ImageInput { pixel_values, present }: ImageInput) -> Tensor<2> {
        self.pooled_patches(text, PatchInput { features: self.patches.features(pixel_values), present })
    }

    /// As [`Vilt::pooled`], over [`LinearPatches::features`].
    pub fn pooled_patches(&self, text: TextInput, PatchInput { features, present }: PatchInput) -> Tensor<2> {
        let modality = self.modality.val();
        let row = |index: usize| modality.clone().slice(s![index..index + 1, ..]).unsqueeze::<3>();
        let images = self.patches.forward(features) + row(1);
        let mask = mask_beside(&text, &images, present);
        let words = self.embeddings.forward(text.input_ids, text.token_type_ids) + row(0);
        let tokens = Tensor::cat(vec![words, images], 1);
        let hidden = self.encoder.forward_first_pre_norm(tokens, Some(mask));
        self.pooler.forward(self.norm.forward(hidden))
    }

    /// Logits, `[batch, classes]`.
    pub fn logits(&self, text: TextInput, image: ImageInput) -> Tensor<2> {
        self.classifier.forward(self.pooled(text, image))
    }
}
