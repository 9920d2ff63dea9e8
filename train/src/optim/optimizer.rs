//! LAMB and AdamW over parameter groups. AdamW is LAMB without the trust ratio, so one rule serves both.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::{GradientsParams, LambState};
use burn::tensor::{Device, Tensor, TensorData};
use mbsd_net::weights::{NamedParameter, WeightsFile};
use safetensors::tensor::{Dtype, View};

use super::rule::{Rule, on_cpu, squared_norm};
use crate::TrainError;
use crate::run::{OptimizerName, OptimizerSettings};

/// Vectors of MBSD that start at 0. A trust ratio would multiply their steps by their own length.
const START_AT_0: [&str; 3] = ["image.cls", "image.position", "reconstruction.mask"];

/// Moments by parameter, and the rule for each group.
pub struct Optimizer {
    /// Matrices, tables and kernels: with decay and, for LAMB, trust ratio.
    weights: Rule,
    /// Biases, LayerNorms, and vectors that start at 0: with neither.
    plain: Rule,
    clip_norm: f64,
    parameters: HashMap<ParamId, Parameter>,
    states: BTreeMap<String, LambState<1>>,
}

struct Parameter {
    name: String,
    plain: bool,
}

impl std::fmt::Debug for Optimizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Optimizer").field("parameters", &self.parameters.len()).finish_non_exhaustive()
    }
}

fn rule(settings: &OptimizerSettings, weight_decay: f64, trust_ratio: bool) -> Rule {
    Rule {
        betas: settings.betas.map(|beta| beta as f32),
        epsilon: settings.epsilon as f32,
        weight_decay: weight_decay as f32,
        trust_ratio,
    }
}

impl Optimizer {
    /// An optimizer without moments, for a model with these parameters and what it becomes.
    pub fn new(settings: &OptimizerSettings, parameters: Vec<NamedParameter>) -> Self {
        let parameters = parameters
            .into_iter()
            .map(|parameter| {
                let field = parameter.path.rsplit('.').next().unwrap_or_default();
                let starts_at_0 = START_AT_0.iter().any(|path| parameter.path.ends_with(path));
                let plain = starts_at_0 || matches!(field, "bias" | "gamma" | "beta");
                (parameter.id, Parameter { name: parameter.name, plain })
            })
            .collect();
        Self {
            weights: rule(settings, settings.weight_decay, settings.name == OptimizerName::Lamb),
            plain: rule(settings, 0.0, false),
            clip_norm: settings.clip_norm,
            parameters,
            states: BTreeMap::new(),
        }
    }

    /// Clips the global norm of the gradients, which is `norm` as [`global_norm`] gives it, and takes a step. A parameter without a
    /// gradient (a modality that the batches did not have) stays as it is, and so do its moments.
    pub fn step<M: Module>(&mut self, learning_rate: f64, model: M, gradients: GradientsParams, norm: f64) -> M {
        let scale = if self.clip_norm > 0.0 && norm > self.clip_norm { self.clip_norm / norm } else { 1.0 };
        model.map(&mut Step { optimizer: self, gradients, learning_rate, scale })
    }

    /// Writes the moments, by the names of their parameters. The same moments give the same bytes.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    pub fn save(&self, path: &Path) -> Result<(), TrainError> {
        let tensors = self.states.iter().flat_map(|(name, state)| {
            let values = |tensor: &Tensor<1>| Moment(tensor.to_data().iter::<f32>().collect(), [tensor.dims()[0]]);
            [
                (format!("{name}.moment_1"), values(&state.moment_1)),
                (format!("{name}.moment_2"), values(&state.moment_2)),
                (format!("{name}.steps"), Moment(vec![state.time as f32], [1])),
            ]
        });
        safetensors::serialize_to_file(tensors, None, path)
            .map_err(|error| TrainError::io("write", path)(std::io::Error::other(error)))
    }

    /// Reads the moments written by [`Optimizer::save`].
    ///
    /// # Errors
    /// [`TrainError::Weights`], and [`TrainError::Resume`] if they belong to another model.
    pub fn load(&mut self, path: &Path, parameters: Vec<NamedParameter>, device: &Device) -> Result<(), TrainError> {
        let file = WeightsFile::open(path)?;
        let wrong = |reason: String| TrainError::Resume { path: path.to_owned(), reason };
        for parameter in parameters {
            let name = parameter.name;
            let read = |field: &str| file.read(&format!("{name}.{field}"));
            let (Some(first), Some(second), Some(steps)) = (read("moment_1")?, read("moment_2")?, read("steps")?)
            else {
                continue;
            };
            let length: usize = parameter.shape.iter().product();
            if first.len() != length || second.len() != length || steps.len() != 1 {
                return Err(wrong(format!("the moments of `{name}` are not of the weight's size {length}")));
            }
            let tensor = |values: Vec<f32>| Tensor::from_data(TensorData::new(values, [length]), device);
            let state = LambState { time: steps[0] as usize, moment_1: tensor(first), moment_2: tensor(second) };
            self.states.insert(name, state);
        }
        if self.states.len() * 3 != file.names().len() {
            return Err(wrong("its optimizer state belongs to another model".into()));
        }
        Ok(())
    }
}

/// A flat tensor to be written.
struct Moment(Vec<f32>, [usize; 1]);

impl View for Moment {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.1
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.0.iter().flat_map(|value| value.to_le_bytes()).collect())
    }
    fn data_len(&self) -> usize {
        4 * self.0.len()
    }
}

/// Walks a model and replaces each parameter that has a gradient.
struct Step<'a> {
    optimizer: &'a mut Optimizer,
    gradients: GradientsParams,
    learning_rate: f64,
    scale: f64,
}

impl ModuleMapper for Step<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Optimizer { weights, plain, parameters, states, .. } = &mut *self.optimizer;
        let (Some(parameter), Some(gradient)) = (parameters.get(&param.id), self.gradients.remove::<D>(param.id))
        else {
            return param;
        };
        let rule = if parameter.plain { plain } else { weights };
        let (id, tensor, mapper) = param.consume();
        let shape = tensor.shape();
        let length = shape.num_elements();
        let (current, gradient) = (tensor.inner().reshape([length]), gradient.reshape([length]));
        let state = states.remove(&parameter.name);
        let (updated, state) = rule.step(self.learning_rate, current, gradient, self.scale, state);
        if let Some(state) = state {
            states.insert(parameter.name.clone(), state);
        }
        let updated = Tensor::from_inner(updated.reshape(shape)).require_grad();
        Param::from_mapped_value(id, updated, mapper)
    }
}

/// The euclidean norm of all gradients of a model together.
pub fn global_norm(model: &impl Module, gradients: &GradientsParams) -> f64 {
    struct Squares<'a> {
        gradients: &'a GradientsParams,
        sum: f64,
        /// What a GPU has still to compute: it is waited for once.
        pending: Option<Tensor<1>>,
    }
    impl ModuleVisitor for Squares<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let Some(gradient) = self.gradients.get::<D>(param.id) else { return };
            if on_cpu(&gradient) {
                self.sum += squared_norm(gradient);
                return;
            }
            let square = gradient.square().sum();
            self.pending = Some(match self.pending.take() {
                Some(sum) => sum + square,
                None => square,
            });
        }
    }
    let mut squares = Squares { gradients, sum: 0.0, pending: None };
    model.visit(&mut squares);
    let pending = squares.pending.map_or(0.0, |sum| f64::from(sum.into_scalar::<f32>()));
    (squares.sum + pending).sqrt()
}

#[cfg(test)]
mod tests;
