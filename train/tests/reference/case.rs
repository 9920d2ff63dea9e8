//! A reference case: its configuration, weights, inputs, outputs and gradients.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor, TensorData};
use mbsd_net::Mbsd;
use mbsd_net::weights::visit_parameters;
use mbsd_spec::Config;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

/// Agreement on vectors and logits, and on losses relative to max(1, |loss|): single precision, other summation order.
pub(crate) const TOLERANCE: f64 = 1e-5;
/// Agreement on a gradient relative to the largest of its tensor; longer sums than in the forward pass.
pub(crate) const GRADIENT_TOLERANCE: f64 = 1e-4;
/// Agreement on gradients that are 0 but for rounding, such as those of key biases.
pub(crate) const GRADIENT_NOISE: f64 = 1e-6;

pub(crate) struct Case {
    folder: PathBuf,
    name: &'static str,
    io: Vec<u8>,
    pub(crate) config: Config,
    pub(crate) device: Device,
}

impl Case {
    /// A case on a device that differentiates.
    pub(crate) fn open(name: &'static str) -> Self {
        let folder = match std::env::var_os("MBSD_REFERENCE") {
            Some(folder) => folder.into(),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference/p32"),
        };
        let path = folder.join(format!("{name}.io.safetensors"));
        let io = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { config: config(&folder), folder, name, io, device: Device::flex().autodiff() }
    }

    pub(crate) fn weights(&self) -> PathBuf {
        self.folder.join(format!("{}.weights.safetensors", self.name))
    }

    pub(crate) fn shape(&self, name: &str) -> Vec<usize> {
        self.io().tensor(name).unwrap().shape().to_vec()
    }

    pub(crate) fn integers(&self, name: &str) -> Vec<i64> {
        let io = self.io();
        let tensor = io.tensor(name).unwrap();
        assert_eq!(tensor.dtype(), Dtype::I64, "{name}");
        tensor.data().chunks_exact(8).map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap())).collect()
    }

    pub(crate) fn floats(&self, name: &str) -> Vec<f64> {
        let io = self.io();
        let tensor = io.tensor(name).unwrap();
        match tensor.dtype() {
            Dtype::F32 => {
                let single = |bytes: &[u8]| f64::from(f32::from_le_bytes(bytes.try_into().unwrap()));
                tensor.data().chunks_exact(4).map(single).collect()
            }
            Dtype::F64 => {
                tensor.data().chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap())).collect()
            }
            other => panic!("{name} holds {other:?}"),
        }
    }

    pub(crate) fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let values: Vec<f32> = self.floats(name).into_iter().map(|value| value as f32).collect();
        Tensor::from_data(TensorData::new(values, self.shape(name)), &self.device)
    }

    pub(crate) fn int_tensor<const D: usize>(&self, values: Vec<i64>, shape: [usize; D]) -> Tensor<D, Int> {
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    pub(crate) fn ids(&self, name: &str) -> Tensor<2, Int> {
        let shape = self.shape(name);
        self.int_tensor(self.integers(name), [shape[0], shape[1]])
    }

    #[track_caller]
    pub(crate) fn assert_close<const D: usize>(&self, name: &str, found: Tensor<D>) {
        let (found, expected) = (values(found), self.floats(name));
        assert_eq!(found.len(), expected.len(), "{name}: number of values");
        let worst = largest_difference(&found, &expected);
        println!("{name}: differs by up to {worst:e}");
        assert!(worst <= TOLERANCE, "{name}: differs by up to {worst:e}");
    }

    #[track_caller]
    pub(crate) fn assert_loss(&self, name: &str, found: &Tensor<1>) {
        let (found, expected) = (values(found.clone())[0], self.floats(name)[0]);
        let difference = (found - expected).abs() / expected.abs().max(1.0);
        println!("{name}: {found}, differs by {difference:e}");
        assert!(difference <= TOLERANCE, "{name}: {found}, expected {expected}");
    }

    /// Every gradient of the reference against those of a loss, `[1]`.
    #[track_caller]
    pub(crate) fn assert_gradients(&self, model: &Mbsd, loss: Tensor<1>) {
        let gradients = GradientsParams::from_grads(loss.backward(), model);
        let mut found = released_gradients(model, &gradients);
        let mut worst: (f64, String) = Default::default();
        for name in self.io().names().into_iter().filter_map(|name| name.strip_prefix("grad.")) {
            let expected = self.floats(&format!("grad.{name}"));
            let gradient = found.remove(name).unwrap_or_else(|| panic!("{name} has no gradient"));
            assert_eq!(gradient.len(), expected.len(), "{name}: number of values");
            let largest = expected.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
            let share = largest_difference(&gradient, &expected) / (GRADIENT_TOLERANCE * largest + GRADIENT_NOISE);
            assert!(share <= 1.0, "{name}: {share:.2} times the difference allowed");
            if share > worst.0 {
                worst = (share, name.to_owned());
            }
        }
        println!("gradients: at most {:.3} of the difference allowed, at {}", worst.0, worst.1);
        assert!(found.is_empty(), "the reference has no gradient of {:?}", found.keys());
    }

    fn io(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.io).unwrap()
    }
}

/// Gradients by the released model's names, in its layout: those of linear maps lie transposed on disk.
fn released_gradients(model: &Mbsd, gradients: &GradientsParams) -> BTreeMap<String, Vec<f64>> {
    visit_parameters(model)
        .into_iter()
        .filter_map(|parameter| {
            let linear = parameter.path.ends_with(".weight") && !parameter.path.starts_with("embeddings.");
            let gradient = match parameter.shape.len() {
                1 => values(gradients.get::<1>(parameter.id)?),
                2 if linear => values(gradients.get::<2>(parameter.id)?.transpose()),
                2 => values(gradients.get::<2>(parameter.id)?),
                3 => values(gradients.get::<3>(parameter.id)?),
                _ => values(gradients.get::<4>(parameter.id)?),
            };
            Some((parameter.name, gradient))
        })
        .collect()
}

fn config(folder: &Path) -> Config {
    let text = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
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

pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f32>().map(f64::from).collect()
}

/// Infinite where a value is not a number, so that no comparison lets it pass.
fn largest_difference(found: &[f64], expected: &[f64]) -> f64 {
    found.iter().zip(expected).fold(0.0, |most, (a, b)| {
        let difference = (a - b).abs();
        if difference.is_finite() { difference.max(most) } else { f64::INFINITY }
    })
}
