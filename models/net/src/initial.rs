//! Initial weights: matrices and tables N(0, 0.02), biases and learned image vectors 0.

use burn::module::Param;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Embedding, EmbeddingConfig, Initializer, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

const STANDARD_DEVIATION: f64 = 0.02;

fn normal() -> Initializer {
    Initializer::Normal { mean: 0.0, std: STANDARD_DEVIATION }
}

pub(crate) fn embedding(entries: usize, width: usize, device: &Device) -> Embedding {
    EmbeddingConfig::new(entries, width).with_initializer(normal()).init(device)
}

pub(crate) fn linear(inputs: usize, outputs: usize, device: &Device) -> Linear {
    // The initializer of `LinearConfig` would fill the bias as well.
    let mut linear = LinearConfig::new(inputs, outputs).with_bias(false).with_initializer(normal()).init(device);
    linear.bias = Some(zeros([outputs], device));
    linear
}

/// A convolution whose kernel does not overlap its neighbours: `size` x `size`, stride `size`.
pub(crate) fn convolution(channels: [usize; 2], size: usize, device: &Device) -> Conv2d {
    let mut convolution = Conv2dConfig::new(channels, [size, size])
        .with_stride([size, size])
        .with_bias(false)
        .with_initializer(normal())
        .init(device);
    convolution.bias = Some(zeros([channels[1]], device));
    convolution
}

pub(crate) fn table<const D: usize>(shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    normal().init(shape, device)
}

pub(crate) fn zeros<const D: usize>(shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    Initializer::Zeros.init(shape, device)
}
