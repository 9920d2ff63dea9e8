//! Small models with random weights, rows for them, and what Burn computes.

use burn::tensor::{Device, Int, Tensor as BurnTensor, TensorData};
use mbsd_net::{Head, ImageInput, Mbsd, TextInput};
use mbsd_spec::{Config, NamedTensors, Task, Tensor, Variant};

/// A configuration unlike the reference's in every dimension: patch 16, odd sizes.
pub fn odd_config() -> Config {
    Config {
        hidden_size: 48,
        num_hidden_layers: 3,
        num_attention_heads: 6,
        intermediate_size: 80,
        vocab_size: 311,
        max_position_embeddings: 25,
        image_size: 48,
        patch_size: 16,
        ..Config::base()
    }
}

/// Reproducible values in [-1, 1).
pub fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// Whether a graph of a task takes text, and whether it takes pixels.
pub fn takes(task: Task, variant: Variant) -> (bool, bool) {
    (variant != Variant::Image || task == Task::Match, variant != Variant::Text)
}

/// Inputs of an encoder graph: `batch` rows of different length up to `text` tokens.
///
/// # Panics
/// Never: sizes and values agree.
pub fn rows(config: &Config, task: Task, variant: Variant, batch: usize, text: usize) -> NamedTensors {
    let (takes_text, takes_image) = takes(task, variant);
    let mut inputs = NamedTensors::new();
    if takes_text {
        let length = |row: usize| if row == 0 { text } else { 1 + (row * 7 + 3) % text };
        let cells = |f: &dyn Fn(usize, usize) -> i64| -> Vec<i64> {
            (0..batch).flat_map(|row| (0..text).map(move |t| (row, t))).map(|(row, t)| f(row, t)).collect()
        };
        let vocabulary = config.vocab_size;
        let id = |row: usize, t: usize| ((row * 131 + t * 17 + 5) % vocabulary) as i64;
        for (name, values) in [
            ("input_ids", cells(&|row, t| if t < length(row) { id(row, t) } else { 0 })),
            ("attention_mask", cells(&|row, t| i64::from(t < length(row)))),
            ("token_type_ids", cells(&|row, t| i64::from(t < length(row) && t > length(row) / 2))),
        ] {
            inputs.insert(name.to_owned(), Tensor::i64([batch, text], values).expect("sizes agree"));
        }
    }
    if takes_image {
        let shape = [batch, 3, config.image_size, config.image_size];
        let pixels = noise(shape.iter().product(), 41);
        inputs.insert("pixel_values".to_owned(), Tensor::f32(shape, pixels).expect("sizes agree"));
    }
    inputs
}

/// What Burn computes of the inputs of an encoder graph.
///
/// # Panics
/// If the inputs are not those that the task and variant take.
pub fn burn_outputs(model: &Mbsd, inputs: &NamedTensors) -> NamedTensors {
    let device = Device::flex();
    let ints = |name: &str| {
        let tensor = &inputs[name];
        let data = TensorData::new(tensor.as_i64().expect("ids are integers").to_vec(), tensor.shape().to_vec());
        BurnTensor::<2, Int>::from_data(data, &device)
    };
    let text = inputs.contains_key("input_ids").then(|| TextInput {
        input_ids: ints("input_ids"),
        attention_mask: Some(ints("attention_mask")),
        token_type_ids: inputs.contains_key("token_type_ids").then(|| ints("token_type_ids")),
    });
    let image = inputs.get("pixel_values").map(|tensor| {
        let data = TensorData::new(tensor.as_f32().expect("pixels are floats").to_vec(), tensor.shape().to_vec());
        ImageInput { pixel_values: BurnTensor::from_data(data, &device), present: None }
    });
    let pooled = model.encode(text, image).pooled;
    let mut outputs = NamedTensors::from([("pooled".to_owned(), plain(pooled.clone()))]);
    match model.head() {
        Head::Match => {
            outputs.insert("logits".to_owned(), plain(model.match_logits(pooled)));
        }
        Head::Classification { .. } => {
            outputs.insert("logits".to_owned(), plain(model.head_outputs(pooled)));
        }
        Head::Alignment | Head::Comparison => {}
    }
    outputs
}

/// A Burn tensor as a plain one.
///
/// # Panics
/// Never: a tensor's data fits its shape.
pub fn plain<const D: usize>(tensor: BurnTensor<D>) -> Tensor {
    let shape = tensor.dims().to_vec();
    Tensor::f32(shape, tensor.into_data().iter::<f32>().collect()).expect("sizes agree")
}
