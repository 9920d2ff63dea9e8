//! Agreement of exported graphs with Burn, measured on made-up rows at the time of export.

use std::collections::BTreeMap;

use burn::tensor::TensorData;
use mbsd_net::Mbsd;
use mbsd_runtime::engine::{self, EngineKind, EngineOptions, SessionOptions};
use mbsd_runtime::parity::Reference;
use mbsd_spec::bundle::{Artifact, BundleWriter, Measured};
use mbsd_spec::{Config, NamedTensors, Task, Tensor, Variant};

use crate::mbsd;

/// What a manifest says where an engine is not there.
pub(super) const NOT_MEASURED: &str = "not measured";

/// Rows compared.
const ROWS: usize = 3;

/// Tokens of the longest row.
const TOKENS: usize = 12;

/// Tokens of the longest tag.
const TAG_TOKENS: usize = 5;

/// A batch with rows of different length, and what Burn computes from it.
pub(super) fn reference(model: &Mbsd, config: &Config, variant: Variant) -> anyhow::Result<Reference> {
    let inputs = inputs(model.head().task(), config, variant)?;
    let values = inputs.iter().map(|(name, tensor)| (name.clone(), data(tensor))).collect();
    let outputs = mbsd::evaluate(model, config, variant, &values)?;
    let outputs = outputs.into_iter().map(|(name, data)| {
        let shape = data.shape().to_vec();
        Ok((name, Tensor::f32(shape, data.iter::<f32>().collect())?))
    });
    Ok(Reference { inputs, outputs: outputs.collect::<anyhow::Result<_>>()? })
}

/// Made-up values of a graph's inputs.
fn inputs(task: Task, config: &Config, variant: Variant) -> anyhow::Result<NamedTensors> {
    if variant == Variant::Pair {
        return vectors(["source", "target"], [ROWS, config.hidden_size]);
    }
    let mut inputs = NamedTensors::new();
    if matches!(variant, Variant::Full | Variant::Image | Variant::FullContext | Variant::ImageContext) {
        let side = config.image_size;
        let shape = [ROWS, config.num_channels, side, side];
        inputs.insert("pixel_values".to_owned(), Tensor::f32(shape, noise(shape.iter().product(), 7))?);
    }
    let title = matches!(variant, Variant::Full | Variant::Text | Variant::FullContext | Variant::TextContext);
    match config.title_position(task) {
        None if title || task == Task::Match => {
            inputs.extend(text_rows(config.vocab_size, TOKENS.min(config.max_position_embeddings))?);
        }
        None => {}
        Some(title_position) => {
            if title {
                let tokens = TOKENS.min(config.max_position_embeddings - title_position);
                inputs.extend(text_rows(config.vocab_size, tokens)?);
                inputs.remove("token_type_ids");
            }
            if variant == Variant::Tags {
                let shape = [ROWS, config.num_hidden_layers, TOKENS, config.hidden_size];
                inputs.extend(vectors(["context_keys", "context_values"], shape)?);
                let seen = text_rows(config.vocab_size, TOKENS)?.remove("attention_mask");
                inputs.extend(seen.map(|mask| ("context_mask".to_owned(), mask)));
            }
            if !variant.is_context() {
                inputs.extend(tag_rows(config.vocab_size, TAG_TOKENS.min(title_position))?);
            }
        }
    }
    Ok(inputs)
}

fn vectors<const D: usize>(names: [&str; 2], shape: [usize; D]) -> anyhow::Result<NamedTensors> {
    let [first, second] = [11, 13].map(|seed| Tensor::f32(shape, noise(shape.iter().product(), seed)));
    Ok(named([(names[0], first?), (names[1], second?)]))
}

fn data(tensor: &Tensor) -> TensorData {
    match tensor {
        Tensor::F32 { shape, data } => TensorData::new(data.clone(), shape.clone()),
        Tensor::I64 { shape, data } => TensorData::new(data.clone(), shape.clone()),
    }
}

/// Runs every artifact through an engine. The inner error says why the engine cannot be had.
pub(super) fn measure(
    kind: EngineKind,
    options: &EngineOptions,
    writer: &BundleWriter,
    artifacts: &[Artifact],
    references: &BTreeMap<Variant, Reference>,
) -> anyhow::Result<Result<Vec<Measured>, String>> {
    use anyhow::Context;
    let engine = match engine::open(kind, options) {
        Ok(engine) => engine,
        Err(error) => return Ok(Err(format!("{:#}", anyhow::Error::from(error)))),
    };
    let mut all = Vec::new();
    for artifact in artifacts {
        let Artifact { variant, precision, .. } = artifact;
        let path = writer.path(&artifact.path);
        let measured = references[variant].measure(engine.as_ref(), &path, &SessionOptions::default());
        all.push(measured.with_context(|| format!("measuring the {precision} {variant} graph with {kind}"))?);
    }
    Ok(Ok(all))
}

/// Rows of `tokens`, `tokens / 2` and 1 tokens, the second half of each as second segment.
fn text_rows(vocabulary: usize, tokens: usize) -> anyhow::Result<NamedTensors> {
    let lengths = [tokens, tokens.div_ceil(2), 1];
    let cell = |f: &dyn Fn(usize, usize) -> i64| -> Vec<i64> {
        lengths.iter().flat_map(|&length| (0..tokens).map(move |t| (t, length))).map(|(t, n)| f(t, n)).collect()
    };
    let shape = [ROWS, tokens];
    Ok(named([
        (
            "input_ids",
            Tensor::i64(shape, cell(&|t, n| if t < n { ((t * 7919 + n * 104_729) % vocabulary) as i64 } else { 0 }))?,
        ),
        ("attention_mask", Tensor::i64(shape, cell(&|t, n| i64::from(t < n)))?),
        ("token_type_ids", Tensor::i64(shape, cell(&|t, n| i64::from(t < n && t > n / 2)))?),
    ]))
}

/// For each row tags of `tokens` and of two tokens, the second padded.
fn tag_rows(vocabulary: usize, tokens: usize) -> anyhow::Result<NamedTensors> {
    let lengths = [tokens, 2];
    let cell = |f: &dyn Fn(usize, usize, usize) -> i64| -> Vec<i64> {
        let tags = (0..ROWS).flat_map(|row| lengths.map(|length| (row, length)));
        tags.flat_map(|(row, length)| (0..tokens).map(move |t| (row, length, t))).map(|(r, n, t)| f(r, n, t)).collect()
    };
    let shape = [ROWS, lengths.len(), tokens];
    let id = |row: usize, t: usize| ((t * 6007 + row * 7919 + 3) % vocabulary) as i64;
    Ok(named([
        ("tag_ids", Tensor::i64(shape, cell(&|row, length, t| if t < length { id(row, t) } else { 0 }))?),
        ("tag_mask", Tensor::i64(shape, cell(&|_, length, t| i64::from(t < length)))?),
    ]))
}

/// Reproducible values in [-1, 1).
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

fn named<const N: usize>(tensors: [(&str, Tensor); N]) -> NamedTensors {
    tensors.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect()
}
