//! The models, cut in two: pixels to image features, and features with text to logits. A further model is a line in [`all`] and
//! a function that exports its parts.

use std::num::NonZeroUsize;

use anyhow::Result;
use burn::tensor::{Device, Int, Tensor, s};
use mbsd_export::{Compiler, Extent, Graph, Inputs, Output};
use mbsd_net::baselines::{Bert, Vilt, Vit};
use mbsd_net::{Head, Mbsd, PatchInput, TextInput};
use mbsd_spec::Config;

/// Names of the parts in the report.
pub(crate) const IMAGE: &str = "image encoding";
pub(crate) const TRANSFORMER: &str = "transformer";

/// What every model answers: one logit a row.
const CLASSES: usize = 1;

/// A model's graphs.
pub(crate) type Parts = Vec<(Part, Exported)>;

/// A model, by the name it has in the figure.
pub(crate) struct Model {
    pub(crate) name: &'static str,
    pub(crate) export: Box<dyn Fn() -> Result<Parts>>,
}

/// A part of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Image,
    Transformer,
}

/// A part as a graph.
pub(crate) struct Exported {
    pub(crate) graph: Graph,
    /// Where a row of the graph is a patch: patches of an image, and how many are encoded at once.
    pub(crate) patches: Option<(NonZeroUsize, NonZeroUsize)>,
}

impl Exported {
    fn whole(graph: Graph) -> Self {
        Self { graph, patches: None }
    }
}

/// Every model of the figure.
pub(crate) fn all(small: bool) -> Vec<Model> {
    let base = move || if small { narrow() } else { Config::base() };
    let fine = move || Config { patch_size: 16, ..base() };
    vec![
        model("MBSD", move || mbsd(&base())),
        model("MBSD, patch 16", move || mbsd(&fine())),
        model("ViLT", move || vilt(&base())),
        model("ViT", move || vit(&base())),
        model("BERT", move || bert(&base())),
    ]
}

fn model(name: &'static str, export: impl Fn() -> Result<Parts> + 'static) -> Model {
    Model { name, export: Box::new(export) }
}

fn narrow() -> Config {
    Config {
        hidden_size: 64,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        intermediate_size: 128,
        vocab_size: 200,
        image_size: 64,
        ..Config::base()
    }
}

fn mbsd(config: &Config) -> Result<Parts> {
    let model = Mbsd::init(config, Head::Match, &Device::flex());
    let image = pixels(Compiler::new(), config).compile(&model, |model, inputs| {
        vec![Output::new("features", model.patch_features(inputs.float("pixel_values")))]
    })?;
    let transformer =
        features(text(Compiler::new(), config), config, config.patches()).compile(&model, |model, inputs| {
            let patches = PatchInput { features: inputs.float("features"), present: None };
            vec![Output::new(
                "logits",
                model.match_logits(model.pooled_patches(Some(text_input(inputs)), Some(patches))),
            )]
        })?;
    Ok(vec![(Part::Image, Exported::whole(image)), (Part::Transformer, Exported::whole(transformer))])
}

fn vilt(config: &Config) -> Result<Parts> {
    let model = Vilt::init(config, CLASSES, &Device::flex());
    let image = pixels(Compiler::new(), config).compile(&model, |model, inputs| {
        vec![Output::new("features", model.patches.forward(inputs.float("pixel_values")))]
    })?;
    let tokens = 1 + config.patches();
    let transformer = features(text(Compiler::new(), config), config, tokens).compile(&model, |model, inputs| {
        let TextInput { input_ids, attention_mask, token_type_ids } = text_input(inputs);
        let row = |index: usize| model.modality.val().slice(s![index..index + 1, ..]).unsqueeze::<3>();
        let words = model.embeddings.forward(input_ids, token_type_ids) + row(0);
        let images = inputs.float::<3>("features") + row(1);
        let [batch, count, _] = images.dims();
        let open = Tensor::<2>::zeros([batch, count], &images.device());
        let mask = Tensor::cat(attention_mask.map(hidden).into_iter().chain([open]).collect(), 1);
        let tokens = Tensor::cat(vec![words, images], 1);
        let states = model.encoder.forward_first_pre_norm(tokens, Some(mask.unsqueeze_dims::<4>(&[1, 1])));
        let pooled = model.pooler.forward(model.norm.forward(states));
        vec![Output::new("logits", model.classifier.forward(pooled))]
    })?;
    Ok(vec![(Part::Image, Exported::whole(image)), (Part::Transformer, Exported::whole(transformer))])
}

fn vit(config: &Config) -> Result<Parts> {
    let model = Vit::init(config, CLASSES, &Device::flex());
    let image = pixels(Compiler::new(), config).compile(&model, |model, inputs| {
        vec![Output::new("features", model.patches.forward(inputs.float("pixel_values")))]
    })?;
    let transformer = features(Compiler::new(), config, 1 + config.patches()).compile(&model, |model, inputs| {
        let states = model.encoder.forward_first_pre_norm(inputs.float("features"), None);
        let pooled = model.norm.forward(states).squeeze_dim::<2>(1);
        vec![Output::new("logits", model.classifier.forward(pooled))]
    })?;
    Ok(vec![(Part::Image, Exported::whole(image)), (Part::Transformer, Exported::whole(transformer))])
}

fn bert(config: &Config) -> Result<Parts> {
    let model = Bert::init(config, CLASSES, &Device::flex());
    let transformer = text(Compiler::new(), config)
        .compile(&model, |model, inputs| vec![Output::new("logits", model.logits(text_input(inputs)))])?;
    Ok(vec![(Part::Transformer, Exported::whole(transformer))])
}

fn pixels(compiler: Compiler, config: &Config) -> Compiler {
    let side = config.image_size;
    compiler.float("pixel_values", ["batch".into(), config.num_channels.into(), side.into(), side.into()])
}

fn features(compiler: Compiler, config: &Config, tokens: usize) -> Compiler {
    compiler.float("features", ["batch".into(), tokens.into(), config.hidden_size.into()])
}

fn text(compiler: Compiler, config: &Config) -> Compiler {
    let most = config.max_position_embeddings;
    ["input_ids", "attention_mask", "token_type_ids"]
        .into_iter()
        .fold(compiler, |compiler, name| compiler.int(name, ["batch".into(), Extent::symbol_up_to("text", most)]))
}

fn text_input(inputs: &Inputs) -> TextInput {
    let [input_ids, attention_mask, token_type_ids] =
        ["input_ids", "attention_mask", "token_type_ids"].map(|name| inputs.int::<2>(name));
    TextInput { input_ids, attention_mask: Some(attention_mask), token_type_ids: Some(token_type_ids) }
}

/// What is added to the scores of positions that hold no token.
fn hidden(mask: Tensor<2, Int>) -> Tensor<2> {
    (mask.float().neg() + 1.0) * -1e4
}
