//! The rule of LAMB for one parameter, of which AdamW is the part without the trust ratio.
//!
//! On a CPU in single precision it is one pass over memory on all cores; elsewhere it is Burn's own.

use burn::backend::flex::FlexTensor;
use burn::backend::{DispatchDevice, Flex, TensorMetadata};
use burn::optim::{Lamb, LambConfig, LambState, Optimizer as _};
use burn::tensor::{DType, Tensor, TensorData};
use rayon::prelude::*;

/// Elements a task takes. Norms are summed task by task, so that they do not depend on threads.
const CHUNK: usize = 1 << 14;

/// Settings of a group of parameters.
pub(super) struct Rule {
    pub(super) betas: [f32; 2],
    pub(super) epsilon: f32,
    pub(super) weight_decay: f32,
    pub(super) trust_ratio: bool,
}

impl Rule {
    /// One step down `scale` times `gradient`, `[n]` like the parameter.
    pub(super) fn step(
        &self,
        learning_rate: f64,
        parameter: Tensor<1>,
        gradient: Tensor<1>,
        scale: f64,
        state: Option<LambState<1>>,
    ) -> (Tensor<1>, Option<LambState<1>>) {
        if on_cpu(&parameter) {
            self.step_on_cpu(learning_rate as f32, parameter, gradient, scale as f32, state)
        } else {
            self.step_by_operations(learning_rate, parameter, gradient * scale, state)
        }
    }

    fn step_by_operations(
        &self,
        learning_rate: f64,
        parameter: Tensor<1>,
        gradient: Tensor<1>,
        state: Option<LambState<1>>,
    ) -> (Tensor<1>, Option<LambState<1>>) {
        let rule: Lamb = LambConfig::new()
            .with_beta_1(self.betas[0])
            .with_beta_2(self.betas[1])
            .with_epsilon(self.epsilon)
            .with_weight_decay(self.weight_decay)
            .with_use_trust_ratio(self.trust_ratio)
            .build();
        rule.step(learning_rate, parameter, gradient, state)
    }

    fn step_on_cpu(
        &self,
        learning_rate: f32,
        parameter: Tensor<1>,
        gradient: Tensor<1>,
        scale: f32,
        state: Option<LambState<1>>,
    ) -> (Tensor<1>, Option<LambState<1>>) {
        let (time, moments) = match state {
            Some(state) => (state.time + 1, [state.moment_1, state.moment_2].map(flat)),
            None => (1, [(); 2].map(|()| zeros(parameter.dims()[0]))),
        };
        let [mut parameter, mut update] = [parameter, gradient].map(flat);
        let [mut first, mut second] = moments;
        let corrections = self.betas.map(|beta| 1.0 - beta.powi(time as i32));
        let parts = (parameter.storage::<f32>().par_chunks(CHUNK))
            .zip(update.storage_mut::<f32>().par_chunks_mut(CHUNK))
            .zip(first.storage_mut::<f32>().par_chunks_mut(CHUNK))
            .zip(second.storage_mut::<f32>().par_chunks_mut(CHUNK));
        let squares: Vec<[f64; 2]> = parts
            .map(|(((parameter, update), first), second)| {
                self.update(parameter, update, first, second, scale, corrections);
                if self.trust_ratio { [sum_of_squares(parameter), sum_of_squares(update)] } else { [0.0; 2] }
            })
            .collect();
        let [of_parameter, of_update] = squares.iter().fold([0.0; 2], |sum, part| [sum[0] + part[0], sum[1] + part[1]]);
        let ratio = if of_parameter > 0.0 && of_update > 0.0 { (of_parameter / of_update).sqrt() as f32 } else { 1.0 };
        let rate = learning_rate * ratio;
        (parameter.storage_mut::<f32>().par_chunks_mut(CHUNK)).zip(update.storage::<f32>().par_chunks(CHUNK)).for_each(
            |(parameter, update)| {
                for (parameter, update) in parameter.iter_mut().zip(update) {
                    *parameter -= rate * update;
                }
            },
        );
        let [parameter, moment_1, moment_2] = [parameter, first, second].map(Tensor::from_primitive::<Flex>);
        (parameter, Some(LambState { time, moment_1, moment_2 }))
    }

    /// Moves the moments, and puts the update in the place of the gradient.
    fn update(
        &self,
        parameter: &[f32],
        gradient: &mut [f32],
        first: &mut [f32],
        second: &mut [f32],
        scale: f32,
        corrections: [f32; 2],
    ) {
        let ([beta_1, beta_2], [correction_1, correction_2]) = (self.betas, corrections);
        for (((parameter, update), first), second) in parameter.iter().zip(gradient).zip(first).zip(second) {
            let gradient = *update * scale;
            *first = *first * beta_1 + gradient * (1.0 - beta_1);
            *second = *second * beta_2 + gradient * gradient * (1.0 - beta_2);
            let root = (*second / correction_2).sqrt();
            *update = *first / correction_1 / (root + self.epsilon) + self.weight_decay * parameter;
        }
    }
}

fn sum_of_squares(values: &[f32]) -> f64 {
    values.chunks(256).map(|part| f64::from(part.iter().map(|value| value * value).sum::<f32>())).sum()
}

/// Whether a tensor is one for [`squared_norm`] and for steps in one pass.
pub(super) fn on_cpu<const D: usize>(tensor: &Tensor<D>) -> bool {
    matches!(tensor.device().as_dispatch(), DispatchDevice::Flex(_)) && tensor.dtype() == DType::F32
}

/// The squared euclidean norm of a tensor's elements, where it is [`on_cpu`].
pub(super) fn squared_norm<const D: usize>(tensor: Tensor<D>) -> f64 {
    let tensor = flat(tensor.flatten::<1>(0, D - 1));
    let parts: Vec<f64> = tensor.storage::<f32>().par_chunks(CHUNK).map(sum_of_squares).collect();
    parts.into_iter().sum()
}

/// The values of a tensor of one axis on the CPU, and nothing but them.
fn flat(tensor: Tensor<1>) -> FlexTensor {
    let tensor = match tensor.try_into_primitive::<Flex>() {
        Ok(tensor) => tensor,
        Err(error) => unreachable!("the tensor's device was looked at: {error:?}"),
    };
    let length = tensor.shape().num_elements();
    if tensor.is_contiguous() && tensor.layout().start_offset() == 0 && tensor.storage::<f32>().len() == length {
        return tensor;
    }
    FlexTensor::from_data(tensor.into_data())
}

fn zeros(length: usize) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(vec![0.0f32; length], [length]))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use burn::tensor::Device;
    use mbsd_net::weights::WeightsFile;

    use super::*;

    fn reference() -> PathBuf {
        let folder = match std::env::var_os("MBSD_REFERENCE") {
            Some(folder) => folder.into(),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference/p32"),
        };
        folder.join("lamb.io.safetensors")
    }

    fn rule(trust_ratio: bool) -> Rule {
        Rule { betas: [0.9, 0.98], epsilon: 1e-6, weight_decay: 0.01, trust_ratio }
    }

    /// The reference case decays every tensor, so the rule for weights is held to all of it.
    #[test]
    fn reference_lamb() {
        let rule = rule(true);
        let file = WeightsFile::open(reference()).unwrap();
        for name in ["w", "b", "z"] {
            let tensor = |kind: &str, step: usize| {
                let values = file.read(&format!("{kind}.{name}.{step}")).unwrap().unwrap();
                let length = values.len();
                Tensor::<1>::from_data(TensorData::new(values, [length]), &Device::flex())
            };
            let mut found = [(tensor("param", 0), None), (tensor("param", 0), None)];
            for step in 1..=5 {
                let [fused, plain] = found;
                // Half of the scale, of twice the gradient.
                let fused = rule.step(2e-2, fused.0, tensor("grad", step) * 2.0, 0.5, fused.1);
                let plain = rule.step_by_operations(2e-2, plain.0, tensor("grad", step), plain.1);
                for (which, parameter) in [("in one pass", &fused.0), ("by operations", &plain.0)] {
                    let difference = (parameter.clone() - tensor("param", step)).abs().max().into_scalar::<f32>();
                    assert!(difference <= 1e-6, "{name} {which} after step {step} differs by {difference:e}");
                }
                found = [fused, plain];
            }
        }
    }

    #[test]
    fn large_parameters_are_all_stepped_alike_and_others_keep_their_values() {
        let length = 3 * CHUNK + 17;
        let values: Vec<f32> = (0..length).map(|place| (place % 13) as f32 - 6.0).collect();
        let tensor =
            |values: &[f32]| Tensor::<1>::from_data(TensorData::new(values.to_vec(), [length]), &Device::flex());
        for trust_ratio in [true, false] {
            let rule = rule(trust_ratio);
            let (parameter, gradient) = (tensor(&values), tensor(&values) * 0.3 + 0.1);
            let shared = parameter.clone();
            let (fused, state) = rule.step(0.1, parameter.clone(), gradient.clone(), 1.0, None);
            let (plain, _) = rule.step_by_operations(0.1, parameter, gradient.clone(), None);
            let difference = (fused - plain).abs().max().into_scalar::<f32>();
            assert!(difference <= 2e-6, "{difference:e}");
            assert_eq!(shared.into_data().iter::<f32>().collect::<Vec<_>>(), values, "a copy held elsewhere");
            assert_eq!(gradient.into_data().iter::<f32>().next(), Some(-1.7), "so is the gradient");
            assert_eq!(state.unwrap().time, 1);
        }
    }

    #[test]
    fn norms_of_any_shape() {
        let values: Vec<f32> = (0..30_000).map(|place| (place % 7) as f32).collect();
        let expected: f64 = values.iter().map(|&value| f64::from(value * value)).sum();
        let tensor = Tensor::<2>::from_data(TensorData::new(values, [100, 300]), &Device::flex());
        assert_eq!(squared_norm(tensor.clone()), expected);
        assert_eq!(squared_norm(tensor.transpose()), expected);
    }
}
