//! Layer normalization.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};

use crate::arithmetic::{like, single};
use crate::kernels;

/// (x - mean) / sqrt(variance + epsilon) gamma + beta over the last axis, with the biased variance.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// Scale, `[width]`.
    pub gamma: Param<Tensor<1>>,
    /// Shift, `[width]`.
    pub beta: Param<Tensor<1>>,
    #[module(skip)]
    epsilon: f64,
}

impl LayerNorm {
    pub(crate) fn init(width: usize, epsilon: f64, device: &Device) -> Self {
        let filled = |initializer: Initializer| initializer.init([width], device);
        Self { gamma: filled(Initializer::Ones), beta: filled(Initializer::Zeros), epsilon }
    }

    /// `[..., width]` to the same, computed in single precision whatever the input's type.
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        let dtype = input.dtype();
        like(self.forward_single(single(input)), dtype)
    }

    /// As [`LayerNorm::forward`], of a sum that is not rounded in between.
    pub(crate) fn forward_sum<const D: usize>(&self, left: Tensor<D>, right: Tensor<D>) -> Tensor<D> {
        let dtype = left.dtype();
        like(self.forward_single(single(left) + single(right)), dtype)
    }

    fn forward_single<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        let (gamma, beta) = (self.gamma.val(), self.beta.val());
        if kernels::apply(&input) {
            return kernels::layer_norm(input, gamma, beta, self.epsilon);
        }
        burn::tensor::module::layer_norm(input, gamma, Some(beta), self.epsilon)
    }
}
