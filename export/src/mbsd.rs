//! The graphs of MBSD: which inputs each task and variant takes, and what it gives.

mod one_way;

use std::collections::BTreeMap;

use burn::tensor::{Tensor, TensorData};
use mbsd_net::{Head, ImageInput, Mbsd, TextInput};
use mbsd_spec::{Attention, Config, Task, Variant};

use crate::Compiler;
use crate::boundary::{Extent, Inputs, Output};
use crate::error::ExportError;
use crate::graph::Graph;
use crate::passes;

/// The text inputs, `[batch, text]` each.
const TEXT_INPUTS: [&str; 3] = ["input_ids", "attention_mask", "token_type_ids"];

/// Compiles one graph of a model: the encoder with its head over what the variant reads, the pair head, or for a match model with
/// one-way attention one of its parts.
///
/// A match graph takes text in every variant: the tag.
///
/// # Errors
/// See [`ExportError`]; [`ExportError::Boundary`] for a graph that such a model does not have.
pub fn compile(model: &Mbsd, config: &Config, variant: Variant) -> Result<Graph, ExportError> {
    let form = Form::of(model, config, variant)?;
    form.inputs(config).compile(model, |model, inputs| form.forward(model, inputs))
}

/// What Burn computes where [`compile`] records, from values of the graph's inputs: its outputs by name.
///
/// # Errors
/// As [`compile`], and for values that are not those of the inputs.
pub fn evaluate(
    model: &Mbsd,
    config: &Config,
    variant: Variant,
    values: &BTreeMap<String, TensorData>,
) -> Result<Vec<(String, TensorData)>, ExportError> {
    let form = Form::of(model, config, variant)?;
    form.inputs(config).evaluate(model, values, |model, inputs| form.forward(model, inputs))
}

/// What a graph reads and computes.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// One sequence of what a product has, and the head.
    Sequence { text: bool, image: bool },
    /// The pair head.
    Pair,
    /// Products and tags apart.
    OneWay { variant: Variant, title_position: usize },
}

impl Form {
    fn of(model: &Mbsd, config: &Config, variant: Variant) -> Result<Self, ExportError> {
        let task = model.head().task();
        match (variant, config.title_position(task)) {
            (Variant::Pair, _) if model.head().is_for_pairs() => Ok(Self::Pair),
            (Variant::Pair, _) => {
                Err(ExportError::Boundary(format!("the pair graph belongs to alignment, this is a {task} model")))
            }
            (_, Some(title_position)) => Ok(Self::OneWay { variant, title_position }),
            (Variant::Full | Variant::Text | Variant::Image, None) => Ok(Self::Sequence {
                text: variant != Variant::Image || task == Task::Match,
                image: variant != Variant::Text,
            }),
            (_, None) => Err(ExportError::Boundary(format!(
                "the {variant} graph belongs to match models with one-way attention: this is a {task} model with `attention` {}",
                if config.attention == Attention::Full { "full" } else { "one-way" }
            ))),
        }
    }

    fn inputs(self, config: &Config) -> Compiler {
        match self {
            Self::Sequence { text, image } => inputs(config, text, image),
            Self::Pair => {
                let vectors = || [Extent::from("batch"), config.hidden_size.into()];
                Compiler::new().float("source", vectors()).float("target", vectors())
            }
            Self::OneWay { variant, title_position } => one_way::inputs(config, variant, title_position),
        }
    }

    fn forward(self, model: &Mbsd, inputs: &Inputs) -> Vec<Output> {
        match self {
            Self::Sequence { text, image } => {
                let text = text.then(|| text_input(inputs));
                let image =
                    image.then(|| ImageInput { pixel_values: inputs.float::<4>("pixel_values"), present: None });
                let pooled = model.pooled(text, image);
                // Alignment has no logits before its pair head.
                let logits = match model.head() {
                    Head::Match => Some(Output::new("logits", model.match_logits(pooled.clone()))),
                    Head::Classification { .. } => Some(Output::new("logits", model.head_outputs(pooled.clone()))),
                    Head::Alignment | Head::Comparison => None,
                };
                logits.into_iter().chain([Output::new("pooled", pooled)]).collect()
            }
            Self::Pair => {
                let [source, target]: [Tensor<2>; 2] = ["source", "target"].map(|name| inputs.float::<2>(name));
                vec![Output::new("logits", model.pair_logits(source, target))]
            }
            Self::OneWay { variant, title_position } => one_way::forward(model, variant, title_position, inputs),
        }
    }
}

/// A compiler with the named inputs of a graph over text, images or both.
pub fn inputs(config: &Config, text: bool, image: bool) -> Compiler {
    let mut compiler = Compiler::new();
    if text {
        for name in TEXT_INPUTS {
            compiler =
                compiler.int(name, ["batch".into(), Extent::symbol_up_to("text", config.max_position_embeddings)]);
        }
    }
    if image {
        let side = config.image_size;
        compiler =
            compiler.float("pixel_values", ["batch".into(), config.num_channels.into(), side.into(), side.into()]);
    }
    compiler
}

/// The half-precision form of a graph of [`compile`].
///
/// The patchify network stays as it is: it is under 3% of the work and 1.5% of the weights, and its sums over windows are what
/// loses most.
pub fn to_half(graph: &mut Graph) {
    passes::to_half(graph, |node| node.name.starts_with("image.patchify"));
}

/// The text that [`inputs`] declares.
pub fn text_input(inputs: &Inputs) -> TextInput {
    let [input_ids, attention_mask, token_type_ids] = TEXT_INPUTS.map(|name| inputs.int::<2>(name));
    TextInput { input_ids, attention_mask: Some(attention_mask), token_type_ids: Some(token_type_ids) }
}
