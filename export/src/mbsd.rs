//! The graphs of MBSD: which inputs each task and variant takes, and what it gives.

use burn::tensor::Tensor;
use mbsd_net::{Head, ImageInput, Mbsd, TextInput};
use mbsd_spec::{Config, Task, Variant};

use crate::Compiler;
use crate::boundary::{Extent, Inputs, Output};
use crate::error::ExportError;
use crate::graph::Graph;
use crate::passes;

/// The text inputs, `[batch, text]` each.
const TEXT_INPUTS: [&str; 3] = ["input_ids", "attention_mask", "token_type_ids"];

/// Compiles one graph of a model: the encoder with its head over what the variant reads, or the pair head.
///
/// A match graph takes text in every variant: the tag. Alignment has no logits before its pair head.
///
/// # Errors
/// See [`ExportError`]; [`ExportError::Boundary`] for the pair head of a model that has none.
pub fn compile(model: &Mbsd, config: &Config, variant: Variant) -> Result<Graph, ExportError> {
    let task = model.head().task();
    if variant == Variant::Pair {
        return compile_pair(model, config);
    }
    let text = variant != Variant::Image || task == Task::Match;
    let image = variant != Variant::Text;
    inputs(config, text, image).compile(model, |model, inputs| {
        let text = text.then(|| text_input(inputs));
        let image = image.then(|| ImageInput { pixel_values: inputs.float::<4>("pixel_values"), present: None });
        let pooled = model.pooled(text, image);
        let logits = match model.head() {
            Head::Match => Some(Output::new("logits", model.match_logits(pooled.clone()))),
            Head::Classification { .. } => Some(Output::new("logits", model.head_outputs(pooled.clone()))),
            Head::Alignment | Head::Comparison => None,
        };
        logits.into_iter().chain([Output::new("pooled", pooled)]).collect()
    })
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
/// The patchify network stays as it is: it is under 3% of the work and 1.5% of the weights, its sums over windows are what
/// loses most, and tract's half-precision convolutions are slow.
pub fn to_half(graph: &mut Graph) {
    passes::to_half(graph, |node| node.name.starts_with("image.patchify"));
}

/// The text that [`inputs`] declares.
pub fn text_input(inputs: &Inputs) -> TextInput {
    let [input_ids, attention_mask, token_type_ids] = TEXT_INPUTS.map(|name| inputs.int::<2>(name));
    TextInput { input_ids, attention_mask: Some(attention_mask), token_type_ids: Some(token_type_ids) }
}

fn compile_pair(model: &Mbsd, config: &Config) -> Result<Graph, ExportError> {
    if !model.head().is_for_pairs() {
        return Err(ExportError::Boundary(format!(
            "the pair graph belongs to alignment, this is a {} model",
            model.head().task()
        )));
    }
    let vectors = || [Extent::from("batch"), config.hidden_size.into()];
    Compiler::new().float("source", vectors()).float("target", vectors()).compile(model, |model, inputs| {
        let [source, target]: [Tensor<2>; 2] = ["source", "target"].map(|name| inputs.float::<2>(name));
        vec![Output::new("logits", model.pair_logits(source, target))]
    })
}
