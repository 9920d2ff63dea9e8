//! MBSD and the models it is compared with, each as the graphs that it consists of, for comparisons of work and latency.

use std::fmt;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use mbsd_net::baselines::{Bert, FashionBert, KaleidoBert, PatchPixels, ResNetSize, Vilt, Vit};
use mbsd_net::{Head, Mbsd, PatchInput, TextInput};
use mbsd_spec::Config;

use crate::boundary::{Inputs, Output};
use crate::error::ExportError;
use crate::graph::Graph;
use crate::mbsd::{inputs, text_input};

/// Logits of the heads, which no graph here computes.
const CLASSES: usize = 1;

/// A model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// Text and image; patches through four convolutions.
    Mbsd,
    /// Text.
    Bert,
    /// Image.
    Vit,
    /// Text and image; patches through a linear map.
    Vilt,
    /// Text and image; 16 patches through a ResNet-50.
    FashionBert(PatchPixels),
    /// Text and image; 55 patches through a ResNet-50.
    KaleidoBert(PatchPixels),
}

/// A part of a model that is a graph of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `pixel_values` `[batch, channels, side, side]` to `patch_features` `[batch, patches, width]`.
    Image,
    /// Text, and `patch_features` where there is an image part, to `pooled` `[batch, hidden]`.
    Transformer,
    /// `pixel_values` to `pooled`, of a model that is not divided.
    Whole,
}

impl Part {
    /// A file name without its ending.
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Transformer => "transformer",
            Self::Whole => "whole",
        }
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, pixels) = match self {
            Self::Mbsd => ("mbsd", None),
            Self::Bert => ("bert", None),
            Self::Vit => ("vit", None),
            Self::Vilt => ("vilt", None),
            Self::FashionBert(pixels) => ("fashionbert", Some(pixels)),
            Self::KaleidoBert(pixels) => ("kaleido-bert", Some(pixels)),
        };
        f.write_str(name)?;
        match pixels {
            None => Ok(()),
            Some(PatchPixels::Native) => f.write_str("-native"),
            Some(PatchPixels::Resized(side)) => write!(f, "-{side}"),
        }
    }
}

impl Compared {
    /// Every model, with each option.
    pub const ALL: [Self; 8] = [
        Self::Mbsd,
        Self::Bert,
        Self::Vit,
        Self::Vilt,
        Self::FashionBert(PatchPixels::Native),
        Self::FashionBert(PatchPixels::RESIZED),
        Self::KaleidoBert(PatchPixels::Native),
        Self::KaleidoBert(PatchPixels::RESIZED),
    ];

    /// Compiles the model's graphs, with initial weights. They depend on each other by `patch_features` alone.
    ///
    /// # Errors
    /// See [`ExportError`].
    pub fn graphs(self, config: &Config, resnet: ResNetSize) -> Result<Vec<(Part, Graph)>, ExportError> {
        let device = Device::flex();
        match self {
            Self::Mbsd => two(
                &Mbsd::init(config, Head::Match, &device),
                config,
                [config.patches(), config.hidden_size],
                Mbsd::patch_features,
                |model, text, patches| model.pooled_patches(Some(text), Some(patches)),
            ),
            Self::Bert => {
                let bert = Bert::init(config, CLASSES, &device);
                let graph = inputs(config, true, false)
                    .compile(&bert, |bert, inputs| vec![Output::new("pooled", bert.pooled(text_input(inputs)))])?;
                Ok(vec![(Part::Transformer, graph)])
            }
            Self::Vit => {
                let vit = Vit::init(config, CLASSES, &device);
                let forward = |vit: &Vit, inputs: &Inputs| {
                    vec![Output::new("pooled", vit.pooled(inputs.float("pixel_values"), None))]
                };
                Ok(vec![(Part::Whole, inputs(config, false, true).compile(&vit, forward)?)])
            }
            Self::Vilt => two(
                &Vilt::init(config, CLASSES, &device),
                config,
                [config.patches(), config.hidden_size],
                |model, pixels| model.patches.features(pixels),
                Vilt::pooled_patches,
            ),
            Self::FashionBert(pixels) => two(
                &FashionBert::init(config, resnet, pixels, CLASSES, &device),
                config,
                [FashionBert::PATCHES, resnet.features()],
                FashionBert::patch_features,
                FashionBert::pooled_patches,
            ),
            Self::KaleidoBert(pixels) => two(
                &KaleidoBert::init(config, resnet, pixels, CLASSES, &device),
                config,
                [KaleidoBert::PATCHES, resnet.features()],
                KaleidoBert::patch_features,
                KaleidoBert::pooled_patches,
            ),
        }
    }
}

/// The two graphs of a model whose patches have `[patches, width]` features.
fn two<M: Module>(
    model: &M,
    config: &Config,
    [patches, width]: [usize; 2],
    image: impl Fn(&M, Tensor<4>) -> Tensor<3>,
    transformer: impl Fn(&M, TextInput, PatchInput) -> Tensor<2>,
) -> Result<Vec<(Part, Graph)>, ExportError> {
    let image = inputs(config, false, true).compile(model, |model, inputs| {
        vec![Output::new("patch_features", image(model, inputs.float("pixel_values")))]
    })?;
    let compiler = inputs(config, true, false).float("patch_features", ["batch".into(), patches.into(), width.into()]);
    let transformer = compiler.compile(model, |model, inputs| {
        let patches = PatchInput { features: inputs.float("patch_features"), present: None };
        vec![Output::new("pooled", transformer(model, text_input(inputs), patches))]
    })?;
    Ok(vec![(Part::Image, image), (Part::Transformer, transformer)])
}
