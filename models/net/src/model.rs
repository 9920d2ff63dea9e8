//! The whole model: both embeddings, one encoder, the pooler and a head.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::activation::tanh;
use burn::tensor::{Device, Int, Tensor, s};
use mbsd_spec::config::MODALITIES;
use mbsd_spec::{Config, Task};

use crate::arithmetic::{Arithmetic, single};
use crate::encoder::Encoder;
use crate::image::{ImageEmbeddings, ImageInput, PatchInput};
use crate::initial::{Initial, STANDARD_DEVIATION};
use crate::reconstruction::Reconstruction;
use crate::text::{TextEmbeddings, TextInput};

/// Added to the attention score of a position nobody may attend to. Its softmax is exactly 0 in single
/// precision, finite where a whole row is masked, and it fits half precision.
const MASKED: f64 = -1e4;

/// What is added to the scores of positions where `mask`, `[batch, tokens]`, is 0 and not 1.
pub fn hidden_positions(mask: Tensor<2, Int>) -> Tensor<2> {
    (mask.float().neg() + 1.0) * MASKED
}

/// What is added to the scores of images where `present`, `[batch]`, is 0 and not 1: `[batch, 1]`.
pub(crate) fn hidden_images(present: Tensor<1>) -> Tensor<2> {
    ((present.neg() + 1.0) * MASKED).unsqueeze_dim::<2>(1)
}

/// What is put on the pooled vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// One logit: does the tag or query describe the product?
    Match,
    /// One logit a class.
    Classification {
        /// Number of classes.
        classes: usize,
    },
    /// One logit over two products' pooled vectors, linear as the paper has it.
    Alignment,
    /// One logit over two products' pooled vectors, their distance and their product in each unit: it can tell likeness,
    /// which a sum of what it makes of each product cannot.
    Comparison,
}

impl Head {
    /// The task the head answers.
    pub fn task(self) -> Task {
        match self {
            Self::Match => Task::Match,
            Self::Classification { .. } => Task::Classification,
            Self::Alignment | Self::Comparison => Task::Alignment,
        }
    }

    /// Whether it answers for two products.
    pub fn is_for_pairs(self) -> bool {
        self.task() == Task::Alignment
    }

    /// What its linear map reads of two products, from their pooled vectors, `[batch, hidden]` each:
    /// `[batch, inputs]` with the inputs of [`Head::dimensions`].
    pub fn pair_features(self, source: Tensor<2>, target: Tensor<2>) -> Tensor<2> {
        let mut features = vec![source.clone(), target.clone()];
        if self == Self::Comparison {
            features.extend([(source.clone() - target.clone()).abs(), source * target]);
        }
        Tensor::cat(features, 1)
    }

    /// Inputs and outputs of the head's linear map, for pooled vectors of `hidden` values.
    pub fn dimensions(self, hidden: usize) -> (usize, usize) {
        match self {
            Self::Match => (hidden, 1),
            Self::Classification { classes } => (hidden, classes),
            Self::Alignment => (2 * hidden, 1),
            Self::Comparison => (4 * hidden, 1),
        }
    }
}

/// What the encoder makes of a batch.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// Every token's vector, `[batch, tokens, hidden]`: text, image `[CLS]`, patches; in the model's arithmetic.
    pub last_hidden_state: Tensor<3>,
    /// tanh(dense(first token)), `[batch, hidden]`.
    pub pooled: Tensor<2>,
}

/// The dense map in front of the heads.
#[derive(Module, Debug)]
pub struct Pooler {
    /// Hidden to hidden.
    pub dense: Linear,
}

impl Pooler {
    /// `[batch, tokens, hidden]` to `[batch, hidden]`, from the first token.
    pub fn forward(&self, hidden: Tensor<3>) -> Tensor<2> {
        let first = hidden.narrow(1, 0, 1).squeeze_dim::<2>(1);
        tanh(self.dense.forward(single(first)))
    }
}

/// MBSD with one task's head (paper, section 3).
#[derive(Module, Debug)]
pub struct Mbsd {
    /// Token ids to vectors.
    pub embeddings: TextEmbeddings,
    /// Pixels to vectors.
    pub image: ImageEmbeddings,
    /// Added to every token after its embeddings: row 0 text, row 1 image; `[2, hidden]`.
    pub modality: Param<Tensor<2>>,
    /// The layers both modalities share.
    pub encoder: Encoder,
    /// First token to pooled vector.
    pub pooler: Pooler,
    /// The head's linear map; [`Head::dimensions`] gives its size.
    pub classifier: Linear,
    /// What stage 1 of pre-training needs besides; `None` everywhere else.
    pub reconstruction: Option<Reconstruction>,
    #[module(skip)]
    head: Head,
    #[module(skip)]
    arithmetic: Arithmetic,
}

/// One side's token vectors, `[batch, tokens, hidden]`, and what is added to the scores of its positions, `[batch, tokens]`
/// or `[batch, 1]`.
pub(crate) struct Side {
    pub(crate) tokens: Tensor<3>,
    pub(crate) mask: Option<Tensor<2>>,
}

impl Mbsd {
    /// A model with the paper's initial weights, which are drawn from the device's random numbers when they are first
    /// needed.
    pub fn init(config: &Config, head: Head, device: &Device) -> Self {
        Self::init_with(config, head, STANDARD_DEVIATION, device)
    }

    /// As [`Mbsd::init`], with linear maps and kernels of another standard deviation. The paper's 0.02 suits its 768 hidden
    /// units; narrow models start too close to linear with it and do not find out what two modalities say together.
    pub fn init_with(config: &Config, head: Head, standard_deviation: f64, device: &Device) -> Self {
        let initial = Initial { device, standard_deviation };
        let (inputs, outputs) = head.dimensions(config.hidden_size);
        Self {
            embeddings: TextEmbeddings::init(config, initial),
            image: ImageEmbeddings::init(config, initial),
            modality: initial.table([MODALITIES, config.hidden_size]),
            encoder: Encoder::init(config, initial),
            pooler: Pooler { dense: initial.linear(config.hidden_size, config.hidden_size) },
            classifier: initial.linear(inputs, outputs),
            reconstruction: None,
            head,
            arithmetic: Arithmetic::default(),
        }
    }

    /// The same model with the parts of stage 1, freshly drawn: mask vector and biases 0, linear maps of
    /// `standard_deviation`.
    pub fn with_reconstruction(mut self, config: &Config, standard_deviation: f64, device: &Device) -> Self {
        self.reconstruction = Some(Reconstruction::init(config, Initial { device, standard_deviation }));
        self
    }

    /// The same model, computing in another arithmetic; its parameters stay what they are.
    pub fn with_arithmetic(mut self, arithmetic: Arithmetic) -> Self {
        self.arithmetic = arithmetic;
        self
    }

    /// What it computes in.
    pub(crate) fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
    }

    /// The head this model has.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Encodes what a product has.
    ///
    /// With both inputs the sequence is text, image `[CLS]`, patches; with one it is that side alone, and the first
    /// token, which is pooled, is the text's or the image's `[CLS]`.
    ///
    /// # Panics
    /// If both inputs are `None`, or their batch sizes differ.
    pub fn encode(&self, text: Option<TextInput>, image: Option<ImageInput>) -> Encoded {
        let text = text.map(|text| self.text_side(text));
        let image = image.map(|ImageInput { pixel_values, present }| {
            self.image_side(PatchInput { features: self.patch_features(pixel_values), present })
        });
        self.encode_sides(text, image)
    }

    /// As [`Mbsd::encode`], from patch vectors instead of pixels.
    ///
    /// # Panics
    /// If both inputs are `None`, or their batch sizes differ.
    pub fn encode_patches(&self, text: Option<TextInput>, patches: Option<PatchInput>) -> Encoded {
        let text = text.map(|text| self.text_side(text));
        let image = patches.map(|patches| self.image_side(patches));
        self.encode_sides(text, image)
    }

    /// The pooled vector of [`Mbsd::encode`] alone, `[batch, hidden]`, for less work: the last layer computes its first token
    /// only.
    ///
    /// # Panics
    /// If both inputs are `None`, or their batch sizes differ.
    pub fn pooled(&self, text: Option<TextInput>, image: Option<ImageInput>) -> Tensor<2> {
        let patches = image.map(|ImageInput { pixel_values, present }| PatchInput {
            features: self.patch_features(pixel_values),
            present,
        });
        self.pooled_patches(text, patches)
    }

    /// As [`Mbsd::pooled`], from patch vectors instead of pixels.
    ///
    /// # Panics
    /// If both inputs are `None`, or their batch sizes differ.
    pub fn pooled_patches(&self, text: Option<TextInput>, patches: Option<PatchInput>) -> Tensor<2> {
        let text = text.map(|text| self.text_side(text));
        let (tokens, mask) = joined(text, patches.map(|patches| self.image_side(patches)));
        self.pooler.forward(self.encoder.forward_first(self.arithmetic.enter(tokens), mask))
    }

    /// Patch vectors of pixels, `[batch, 3, height, width]` to `[batch, patches, hidden]`, without positions: for callers that
    /// use them twice or hide some of them.
    pub fn patch_features(&self, pixel_values: Tensor<4>) -> Tensor<3> {
        single(self.image.patch_features(self.arithmetic.enter(pixel_values)))
    }

    fn text_side(&self, TextInput { input_ids, attention_mask, token_type_ids }: TextInput) -> Side {
        Side {
            tokens: self.embeddings.forward(input_ids, token_type_ids) + self.modality_vector(0),
            mask: attention_mask.map(hidden_positions),
        }
    }

    pub(crate) fn image_side(&self, PatchInput { features, present }: PatchInput) -> Side {
        Side { tokens: self.image.forward(features) + self.modality_vector(1), mask: present.map(hidden_images) }
    }

    fn encode_sides(&self, text: Option<Side>, image: Option<Side>) -> Encoded {
        let (tokens, mask) = joined(text, image);
        let last_hidden_state = self.encoder.forward(self.arithmetic.enter(tokens), mask);
        let pooled = self.pooler.forward(last_hidden_state.clone());
        Encoded { last_hidden_state, pooled }
    }

    /// The head over pooled vectors: `[batch, hidden]` to `[batch, outputs]`. Of two products it takes
    /// [`Head::pair_features`]; see [`Mbsd::pair_logits`].
    pub fn head_outputs(&self, pooled: Tensor<2>) -> Tensor<2> {
        self.classifier.forward(pooled)
    }

    /// Logits of the match head, `[batch]`.
    pub fn match_logits(&self, pooled: Tensor<2>) -> Tensor<1> {
        self.head_outputs(pooled).squeeze_dim::<1>(1)
    }

    /// Logits of the alignment head over two batches of pooled vectors, `[batch, hidden]` each: `[batch]`.
    pub fn pair_logits(&self, source: Tensor<2>, target: Tensor<2>) -> Tensor<1> {
        self.head_outputs(self.head.pair_features(source, target)).squeeze_dim::<1>(1)
    }

    pub(crate) fn modality_vector(&self, modality: usize) -> Tensor<3> {
        self.modality.val().slice(s![modality..modality + 1]).unsqueeze::<3>()
    }
}

/// One sequence, `[batch, tokens, hidden]`, and what is added to its scores.
pub(crate) fn joined(text: Option<Side>, image: Option<Side>) -> (Tensor<3>, Option<Tensor<4>>) {
    let (mut tokens, masks): (Vec<_>, Vec<_>) =
        text.into_iter().chain(image).map(|side| (side.tokens, side.mask)).unzip();
    assert!(!tokens.is_empty(), "a model needs text, an image, or both");
    let mask = additive_mask(masks, &tokens);
    (if tokens.len() == 1 { tokens.remove(0) } else { Tensor::cat(tokens, 1) }, mask)
}

/// Joins the per-side masks, `[batch, text]` and `[batch, 1]`, into one that broadcasts over the scores:
/// `[batch, 1, 1, tokens]`. `None` where nothing is masked.
fn additive_mask(sides: Vec<Option<Tensor<2>>>, tokens: &[Tensor<3>]) -> Option<Tensor<4>> {
    if sides.iter().all(Option::is_none) {
        return None;
    }
    let sides = sides
        .into_iter()
        .zip(tokens)
        .map(|(side, tokens)| {
            let [batch, length, _] = tokens.dims();
            side.unwrap_or_else(|| Tensor::zeros([1, 1], &tokens.device())).expand([batch, length])
        })
        .collect::<Vec<_>>();
    let mask = if sides.len() == 1 { sides.into_iter().next()? } else { Tensor::cat(sides, 1) };
    Some(mask.unsqueeze_dims::<4>(&[1, 2]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::visit_parameters;

    fn parameters(config: &Config) -> usize {
        let model = Mbsd::init(config, Head::Match, &Device::flex());
        visit_parameters(&model).iter().map(|parameter| parameter.shape.iter().product::<usize>()).sum()
    }

    #[test]
    fn the_base_model_has_the_papers_size() {
        let count = parameters(&Config::base());
        assert_eq!((count as f64 / 1e5).round() / 10.0, 103.8, "{count} parameters");
        let patch_16 = Config { patch_size: 16, ..Config::base() };
        assert!(parameters(&patch_16) < count, "the last convolution of the patch-16 stem is 1 x 1");
    }
}
