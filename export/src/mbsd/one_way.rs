//! The graphs of one-way attention: a product is read once for all tags that are asked about it.
//!
//! One graph does both, or two share the work: a *context* graph reads a product, and the *tags* graph answers over the keys and
//! values it gave, for servers that keep them.

use burn::tensor::Tensor;
use mbsd_net::encoder::KeyValue;
use mbsd_net::{Context, Mbsd, PatchInput, TagInput, TitleInput};
use mbsd_spec::{Config, Variant};

use crate::Compiler;
use crate::boundary::{Extent, Inputs, Output};

/// The graph's inputs; `title_position` is where titles begin, and how many tokens a tag has at most.
pub(super) fn inputs(config: &Config, variant: Variant, title_position: usize) -> Compiler {
    let (title, image) = reads(variant);
    let title_text = || Extent::symbol_up_to("text", config.max_position_embeddings - title_position);
    let tag_text = || Extent::symbol_up_to("tag_text", title_position);
    let mut compiler = Compiler::new();
    if title {
        for name in ["input_ids", "attention_mask"] {
            compiler = compiler.int(name, ["batch".into(), title_text()]);
        }
    }
    if image {
        let side = config.image_size;
        let shape = ["batch".into(), config.num_channels.into(), side.into(), side.into()];
        compiler = compiler.float("pixel_values", shape);
    }
    if variant == Variant::Tags {
        let shape = || {
            let [layers, hidden] = [config.num_hidden_layers, config.hidden_size].map(Extent::from);
            ["batch".into(), layers, "context".into(), hidden]
        };
        compiler = compiler.float("context_keys", shape()).float("context_values", shape());
        compiler = compiler.int("context_mask", ["batch".into(), "context".into()]);
    }
    if !variant.is_context() {
        for name in ["tag_ids", "tag_mask"] {
            compiler = compiler.int(name, ["batch".into(), "tags".into(), tag_text()]);
        }
    }
    compiler
}

/// What the graph computes.
pub(super) fn forward(model: &Mbsd, variant: Variant, title_position: usize, inputs: &Inputs) -> Vec<Output> {
    let context = match variant {
        Variant::Tags => kept_context(model.encoder.layer.len(), inputs),
        _ => {
            let (title, image) = reads(variant);
            let title = title.then(|| TitleInput {
                input_ids: inputs.int("input_ids"),
                attention_mask: Some(inputs.int("attention_mask")),
            });
            let patches = image
                .then(|| PatchInput { features: model.patch_features(inputs.float("pixel_values")), present: None });
            model.context(title, patches, title_position)
        }
    };
    if variant.is_context() {
        let (keys, values) = context.layers.into_iter().map(|KeyValue { key, value }| (key, value)).unzip();
        return [("context_keys", keys), ("context_values", values)]
            .map(|(name, layers)| Output::new(name, Tensor::stack::<4>(layers, 1)))
            .into();
    }
    let tags = TagInput { tag_ids: inputs.int("tag_ids"), tag_mask: Some(inputs.int("tag_mask")) };
    vec![Output::new("logits", model.tag_logits(model.pooled_tags(tags, &context)))]
}

/// Whether a graph reads titles, and whether it reads images.
fn reads(variant: Variant) -> (bool, bool) {
    match variant {
        Variant::Full | Variant::FullContext => (true, true),
        Variant::Text | Variant::TextContext => (true, false),
        Variant::Image | Variant::ImageContext => (false, true),
        Variant::Tags | Variant::Pair => (false, false),
    }
}

fn kept_context(layers: usize, inputs: &Inputs) -> Context {
    let [keys, values] = ["context_keys", "context_values"].map(|name| inputs.float::<4>(name));
    let layer = |of: &Tensor<4>, layer: usize| of.clone().narrow(1, layer, 1).squeeze_dim::<3>(1);
    Context {
        layers: (0..layers).map(|index| KeyValue { key: layer(&keys, index), value: layer(&values, index) }).collect(),
        mask: Some(mbsd_net::hidden_positions(inputs.int("context_mask"))),
    }
}
