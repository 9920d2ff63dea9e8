//! Agreement of exported graphs with Burn, measured on made-up rows at the time of export.

use std::collections::BTreeMap;

use burn::tensor::{Device, Int, Tensor as BurnTensor, TensorData};
use mbsd_net::{Head, ImageInput, Mbsd, TextInput};
use mbsd_runtime::engine::{self, EngineKind, EngineOptions, SessionOptions};
use mbsd_runtime::parity::Reference;
use mbsd_spec::bundle::{Artifact, BundleWriter, Measured};
use mbsd_spec::{Config, NamedTensors, Task, Tensor, Variant};

/// What a manifest says where an engine is not there.
pub(super) const NOT_MEASURED: &str = "not measured";

/// Rows compared.
const ROWS: usize = 3;

/// Tokens of the longest row.
const TOKENS: usize = 12;

/// A batch with rows of different length, and what Burn computes from it.
pub(super) fn reference(model: &Mbsd, config: &Config, variant: Variant) -> anyhow::Result<Reference> {
    let device = Device::flex();
    let hidden = config.hidden_size;
    if variant == Variant::Pair {
        let [source, target] = [11, 13].map(|seed| noise(ROWS * hidden, seed));
        let tensor = |data: &[f32]| BurnTensor::<2>::from_data(TensorData::new(data.to_vec(), [ROWS, hidden]), &device);
        let logits = model.pair_logits(tensor(&source), tensor(&target));
        return Ok(Reference {
            inputs: named([
                ("source", Tensor::f32([ROWS, hidden], source)?),
                ("target", Tensor::f32([ROWS, hidden], target)?),
            ]),
            outputs: named([("logits", plain(logits)?)]),
        });
    }
    let text = variant != Variant::Image || model.head().task() == Task::Match;
    let image = variant != Variant::Text;
    let mut inputs = NamedTensors::new();
    let tokens = TOKENS.min(config.max_position_embeddings);
    if text {
        inputs.extend(text_rows(config.vocab_size, tokens)?);
    }
    if image {
        let side = config.image_size;
        let shape = [ROWS, config.num_channels, side, side];
        inputs.insert("pixel_values".to_owned(), Tensor::f32(shape, noise(shape.iter().product(), 7))?);
    }
    let ints = |name: &str| {
        let data = inputs[name].as_i64().unwrap_or_default().to_vec();
        BurnTensor::<2, Int>::from_data(TensorData::new(data, [ROWS, tokens]), &device)
    };
    let text = text.then(|| TextInput {
        input_ids: ints("input_ids"),
        attention_mask: Some(ints("attention_mask")),
        token_type_ids: Some(ints("token_type_ids")),
    });
    let image = image.then(|| {
        let pixels = &inputs["pixel_values"];
        let data = TensorData::new(pixels.as_f32().unwrap_or_default().to_vec(), pixels.shape().to_vec());
        ImageInput { pixel_values: BurnTensor::from_data(data, &device), present: None }
    });
    let pooled = model.pooled(text, image);
    let mut outputs = named([("pooled", plain(pooled.clone())?)]);
    match model.head() {
        Head::Match => {
            outputs.insert("logits".to_owned(), plain(model.match_logits(pooled))?);
        }
        Head::Classification { .. } => {
            outputs.insert("logits".to_owned(), plain(model.head_outputs(pooled))?);
        }
        Head::Alignment | Head::Comparison => {}
    }
    Ok(Reference { inputs, outputs })
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

fn plain<const D: usize>(tensor: BurnTensor<D>) -> anyhow::Result<Tensor> {
    let shape = tensor.dims().to_vec();
    let data: Vec<f32> = tensor.into_data().iter::<f32>().collect();
    Ok(Tensor::f32(shape, data)?)
}

fn named<const N: usize>(tensors: [(&str, Tensor); N]) -> NamedTensors {
    tensors.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect()
}
