//! A reference case: its configuration, weights, inputs and outputs.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Int, Tensor, TensorData};
use mbsd_net::{ImageInput, Mbsd, TextInput};
use mbsd_spec::{Config, Task};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

/// Agreement on vectors and logits, and on losses relative to max(1, |loss|): single precision, other summation order.
pub(crate) const TOLERANCE: f32 = 1e-5;

pub(crate) struct Case {
    folder: PathBuf,
    name: &'static str,
    io: Vec<u8>,
    device: Device,
}

impl Case {
    pub(crate) fn open(name: &'static str) -> Self {
        Self::open_on(name, Device::flex())
    }

    /// A case on every kind of device whose forward differs: for inference and under automatic differentiation.
    pub(crate) fn on_each_device(name: &'static str) -> [Self; 2] {
        [Device::flex(), Device::flex().autodiff()].map(|device| Self::open_on(name, device))
    }

    fn open_on(name: &'static str, device: Device) -> Self {
        let folder = folder();
        let path = folder.join(format!("{name}.io.safetensors"));
        let io = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { folder, name, io, device }
    }

    pub(crate) fn weights(&self) -> PathBuf {
        self.folder.join(format!("{}.weights.safetensors", self.name))
    }

    pub(crate) fn model(&self, task: Task) -> Mbsd {
        let (model, report) = mbsd_net::load(self.weights(), &config(), Some(task), &self.device).unwrap();
        assert!(report.missing.is_empty() && report.unexpected.is_empty(), "{report:?}");
        model
    }

    pub(crate) fn floats(&self, name: &str) -> Vec<f32> {
        self.raw(name).1
    }

    pub(crate) fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let (shape, values) = self.raw(name);
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    pub(crate) fn ids(&self, name: &str) -> Tensor<2, Int> {
        let tensors = SafeTensors::deserialize(&self.io).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        assert_eq!(tensor.dtype(), Dtype::I64, "{name}");
        let values: Vec<i64> =
            tensor.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect();
        Tensor::from_data(TensorData::new(values, tensor.shape().to_vec()), &self.device)
    }

    pub(crate) fn text(&self, prefix: &str, segments: bool) -> TextInput {
        TextInput {
            input_ids: self.ids(&format!("{prefix}input_ids")),
            attention_mask: Some(self.ids(&format!("{prefix}attention_mask"))),
            token_type_ids: segments.then(|| self.ids(&format!("{prefix}token_type_ids"))),
        }
    }

    pub(crate) fn image(&self, prefix: &str) -> ImageInput {
        ImageInput { pixel_values: self.tensor(&format!("{prefix}pixel_values")), present: None }
    }

    fn raw(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let tensors = SafeTensors::deserialize(&self.io).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        let values = match tensor.dtype() {
            Dtype::F32 => tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect(),
            Dtype::I64 => {
                tensor.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f32).collect()
            }
            other => panic!("{name} holds {other:?}"),
        };
        (tensor.shape().to_vec(), values)
    }
}

pub(crate) fn folder() -> PathBuf {
    match std::env::var_os("MBSD_REFERENCE") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/p32"),
    }
}

pub(crate) fn config() -> Config {
    let text = std::fs::read_to_string(folder().join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let number = |field: &str| manifest[field].as_u64().unwrap() as usize;
    Config {
        vocab_size: number("vocab"),
        hidden_size: number("hidden"),
        num_hidden_layers: number("layers"),
        num_attention_heads: number("heads"),
        intermediate_size: number("intermediate"),
        max_position_embeddings: number("max_position"),
        layer_norm_eps: manifest["text_layer_norm_eps"].as_f64().unwrap(),
        image_size: number("image"),
        patch_size: number("patch"),
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        ..Config::base()
    }
    .validated()
    .unwrap()
}

pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

#[track_caller]
pub(crate) fn assert_close<const D: usize>(what: &str, found: Tensor<D>, expected: &[f32]) {
    let found = values(found);
    assert_eq!(found.len(), expected.len(), "{what}: number of values");
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // A comparison that a NaN cannot pass.
    assert!(worst <= TOLERANCE && found.iter().all(|v| v.is_finite()), "{what}: differs by up to {worst:e}");
}
