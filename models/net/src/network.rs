//! A model that a task can be learnt with: MBSD, or one that it is compared with.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use mbsd_spec::config::Architecture;
use mbsd_spec::{Config, Variant};

use crate::arithmetic::Arithmetic;
use crate::baselines::{Bert, Vilt, Vit};
use crate::image::ImageInput;
use crate::initial::Initial;
use crate::model::{Head, Mbsd};
use crate::text::TextInput;

/// Any of the networks, with one task's head.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // There is one of it in a program.
pub enum Network {
    /// The paper's.
    Mbsd(Mbsd),
    /// Text only.
    Bert(Bert),
    /// Images only.
    Vit(Vit),
    /// Text and image together.
    Vilt(Vilt),
}

impl Network {
    /// The network of `config` with initial weights; linear maps and kernels have the given standard deviation, as in
    /// [`Mbsd::init_with`].
    pub fn init_with(config: &Config, head: Head, standard_deviation: f64, device: &Device) -> Self {
        let initial = Initial { device, standard_deviation };
        match config.architecture {
            Architecture::Mbsd => Self::Mbsd(Mbsd::init_with(config, head, standard_deviation, device)),
            Architecture::Bert => Self::Bert(Bert::init_with(config, head, initial)),
            Architecture::Vit => Self::Vit(Vit::init_with(config, head, initial)),
            Architecture::Vilt => Self::Vilt(Vilt::init_with(config, head, initial)),
        }
    }

    /// Which network it is.
    pub fn architecture(&self) -> Architecture {
        match self {
            Self::Mbsd(_) => Architecture::Mbsd,
            Self::Bert(_) => Architecture::Bert,
            Self::Vit(_) => Architecture::Vit,
            Self::Vilt(_) => Architecture::Vilt,
        }
    }

    /// The inputs that it can read, the one it is judged by first.
    pub fn variants(&self) -> &'static [Variant] {
        self.architecture().variants()
    }

    /// MBSD itself, which alone has more than a head.
    pub fn mbsd(&self) -> Option<&Mbsd> {
        match self {
            Self::Mbsd(model) => Some(model),
            _ => None,
        }
    }

    /// The same model, computing in another arithmetic. Those that MBSD is compared with compute in single precision.
    pub fn with_arithmetic(self, arithmetic: Arithmetic) -> Self {
        match self {
            Self::Mbsd(model) => Self::Mbsd(model.with_arithmetic(arithmetic)),
            other => other,
        }
    }

    /// The head it has.
    pub fn head(&self) -> Head {
        match self {
            Self::Mbsd(model) => model.head(),
            Self::Bert(model) => model.head,
            Self::Vit(model) => model.head,
            Self::Vilt(model) => model.head,
        }
    }

    /// The pooled vector of each row, `[batch, hidden]`, of inputs that are one of [`Network::variants`]. Text that comes with
    /// images alone is the tag.
    ///
    /// # Panics
    /// If what the network reads is not there.
    pub fn pooled(&self, text: Option<TextInput>, image: Option<ImageInput>) -> Tensor<2> {
        match (self, text, image) {
            (Self::Mbsd(model), text, image) => model.pooled(text, image),
            (Self::Bert(model), Some(text), _) => model.pooled(text),
            (Self::Vit(model), tag, Some(image)) => {
                model.pooled(image.pixel_values, tag.map(|tag| (tag.input_ids, tag.attention_mask)))
            }
            (Self::Vilt(model), Some(text), Some(image)) => model.pooled(text, image),
            (other, text, image) => panic!(
                "{} cannot read {}",
                other.architecture(),
                match (text, image) {
                    (Some(_), _) => "text alone",
                    (None, Some(_)) => "an image alone",
                    (None, None) => "nothing",
                }
            ),
        }
    }

    /// The head over pooled vectors, `[batch, hidden]`: its logits, `[batch, outputs]`. For alignment `pooled` are the
    /// vectors of all first products, then those of the second ones: `[2 * batch, hidden]`.
    pub fn logits(&self, pooled: Tensor<2>) -> Tensor<2> {
        let head = self.head();
        let features = match head {
            Head::Alignment | Head::Comparison => {
                let rows = pooled.dims()[0] / 2;
                head.pair_features(pooled.clone().narrow(0, 0, rows), pooled.narrow(0, rows, rows))
            }
            Head::Match | Head::Classification { .. } => pooled,
        };
        let classifier = match self {
            Self::Mbsd(model) => &model.classifier,
            Self::Bert(model) => &model.classifier,
            Self::Vit(model) => &model.classifier,
            Self::Vilt(model) => &model.classifier,
        };
        classifier.forward(features)
    }
}

impl From<Mbsd> for Network {
    fn from(model: Mbsd) -> Self {
        Self::Mbsd(model)
    }
}
