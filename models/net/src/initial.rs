//! Initial weights: matrices, kernels and tables drawn from a normal distribution, biases and learned image vectors 0.

use burn::module::Param;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Embedding, EmbeddingConfig, Initializer, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

/// Standard deviation of the paper's initial weights.
pub const STANDARD_DEVIATION: f64 = 0.02;

/// Where parameters are made, and how widely linear maps and kernels are drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Initial<'a> {
    pub(crate) device: &'a Device,
    pub(crate) standard_deviation: f64,
}

impl Initial<'_> {
    pub(crate) fn linear(self, inputs: usize, outputs: usize) -> Linear {
        // The initializer of `LinearConfig` would fill the bias as well.
        let config = LinearConfig::new(inputs, outputs).with_bias(false).with_initializer(self.normal());
        let mut linear = config.init(self.device);
        linear.bias = Some(self.zeros([outputs]));
        linear
    }

    /// A convolution whose kernel does not overlap its neighbours: `size` x `size`, stride `size`.
    pub(crate) fn convolution(self, channels: [usize; 2], size: usize) -> Conv2d {
        let config = Conv2dConfig::new(channels, [size, size]).with_stride([size, size]).with_bias(false);
        let mut convolution = config.with_initializer(self.normal()).init(self.device);
        convolution.bias = Some(self.zeros([channels[1]]));
        convolution
    }

    /// A lookup table, always of the paper's deviation: a LayerNorm follows it.
    pub(crate) fn embedding(self, entries: usize, width: usize) -> Embedding {
        EmbeddingConfig::new(entries, width).with_initializer(table()).init(self.device)
    }

    pub(crate) fn table<const D: usize>(self, shape: [usize; D]) -> Param<Tensor<D>> {
        table().init(shape, self.device)
    }

    pub(crate) fn zeros<const D: usize>(self, shape: [usize; D]) -> Param<Tensor<D>> {
        Initializer::Zeros.init(shape, self.device)
    }

    fn normal(self) -> Initializer {
        Initializer::Normal { mean: 0.0, std: self.standard_deviation }
    }
}

fn table() -> Initializer {
    Initializer::Normal { mean: 0.0, std: STANDARD_DEVIATION }
}
