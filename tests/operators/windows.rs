//! Convolution, pooling and resampling.

use burn::nn::conv::{Conv1dConfig, Conv2dConfig, Conv3dConfig, ConvTranspose1dConfig, ConvTranspose2dConfig};
use burn::nn::interpolate::{Interpolate1dConfig, Interpolate2dConfig, InterpolateMode};
use burn::nn::pool::{
    AdaptiveAvgPool1dConfig, AdaptiveAvgPool2dConfig, AvgPool1dConfig, AvgPool2dConfig, MaxPool1dConfig,
    MaxPool2dConfig,
};
use burn::nn::{PaddingConfig1d, PaddingConfig2d};
use burn::tensor::{Device, Tensor};

use crate::case::{Case, run};

const FREE: &str = "batch 4 height width";
const FIXED: &str = "batch 4 12 9";

#[test]
fn convolutions() {
    let device = Device::flex();
    run(vec![
        Case::one(
            "conv1d over a named length",
            "batch 4 length",
            "conv",
            Conv1dConfig::new(4, 6, 3).with_padding(PaddingConfig1d::Same).init(&device),
            |conv, x: Tensor<3>| conv.forward(x),
        ),
        Case::one(
            "conv1d with a step, a dilation and no bias",
            "batch 4 21",
            "conv",
            Conv1dConfig::new(4, 6, 3).with_stride(2).with_dilation(2).with_bias(false).init(&device),
            |conv, x: Tensor<3>| conv.forward(x),
        ),
        Case::one(
            "conv2d over named sizes",
            FREE,
            "conv",
            Conv2dConfig::new([4, 6], [3, 3]).with_padding(PaddingConfig2d::Same).init(&device),
            |conv, x: Tensor<4>| conv.forward(x),
        ),
        Case::one(
            "conv2d in groups with uneven padding",
            FIXED,
            "conv",
            Conv2dConfig::new([4, 6], [3, 2])
                .with_stride([2, 1])
                .with_groups(2)
                .with_padding(PaddingConfig2d::Explicit(1, 0, 2, 1))
                .init(&device),
            |conv, x: Tensor<4>| conv.forward(x),
        ),
        Case::one(
            "conv2d of each channel",
            FREE,
            "conv",
            Conv2dConfig::new([4, 4], [3, 3]).with_groups(4).with_padding(PaddingConfig2d::Same).init(&device),
            |conv, x: Tensor<4>| conv.forward(x),
        ),
        Case::one(
            "conv3d",
            "batch 2 5 6 4",
            "conv",
            Conv3dConfig::new([2, 3], [2, 3, 2]).init(&device),
            |conv, x: Tensor<5>| conv.forward(x),
        ),
        Case::one(
            "conv_transpose1d",
            "batch 4 7",
            "conv_transpose",
            ConvTranspose1dConfig::new([4, 3], 3).with_stride(2).with_padding(1).with_padding_out(1).init(&device),
            |conv, x: Tensor<3>| conv.forward(x),
        ),
        Case::one(
            "conv_transpose2d",
            "batch 4 5 7",
            "conv_transpose",
            ConvTranspose2dConfig::new([4, 3], [3, 2])
                .with_stride([2, 2])
                .with_padding([1, 0])
                .with_padding_out([1, 0])
                .init(&device),
            |conv, x: Tensor<4>| conv.forward(x),
        ),
        Case::one(
            "conv_transpose2d over named sizes",
            FREE,
            "conv_transpose",
            ConvTranspose2dConfig::new([4, 3], [2, 2]).with_stride([2, 2]).init(&device),
            |conv, x: Tensor<4>| conv.forward(x),
        ),
    ]);
}

#[test]
fn pools() {
    run(vec![
        Case::one(
            "max_pool1d over a named length",
            "batch 4 length",
            "max_pool",
            MaxPool1dConfig::new(3).with_stride(1).with_padding(PaddingConfig1d::Explicit(1, 1)).init(),
            |pool, x: Tensor<3>| pool.forward(x),
        ),
        Case::one(
            "max_pool2d",
            FIXED,
            "sub max_pool",
            MaxPool2dConfig::new([3, 3])
                .with_strides([2, 2])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(),
            |pool, x: Tensor<4>| pool.forward(x - 3.0),
        ),
        Case::one(
            "max_pool2d over the end",
            FIXED,
            "max_pool",
            MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).with_ceil_mode(true).init(),
            |pool, x: Tensor<4>| pool.forward(x),
        ),
        Case::one(
            "avg_pool1d",
            "batch 4 12",
            "average_pool",
            AvgPool1dConfig::new(3).with_stride(3).init(),
            |pool, x: Tensor<3>| pool.forward(x),
        ),
        Case::one(
            "avg_pool2d with padding that counts",
            FIXED,
            "add average_pool",
            AvgPool2dConfig::new([3, 3])
                .with_strides([2, 2])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(),
            |pool, x: Tensor<4>| pool.forward(x + 5.0),
        ),
        Case::one(
            "avg_pool2d with padding that does not count",
            FREE,
            "add average_pool",
            AvgPool2dConfig::new([3, 3])
                .with_strides([1, 1])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .with_count_include_pad(false)
                .init(),
            |pool, x: Tensor<4>| pool.forward(x + 5.0),
        ),
        Case::one(
            "adaptive_avg_pool2d to one element of named sizes",
            FREE,
            "reduce_mean",
            AdaptiveAvgPool2dConfig::new([1, 1]).init(),
            |pool, x: Tensor<4>| pool.forward(x),
        ),
        Case::one(
            "adaptive_avg_pool2d that divides",
            FIXED,
            "average_pool",
            AdaptiveAvgPool2dConfig::new([4, 3]).init(),
            |pool, x: Tensor<4>| pool.forward(x),
        ),
        Case::one(
            "adaptive_avg_pool2d that does not divide",
            FIXED,
            "matmul matmul",
            AdaptiveAvgPool2dConfig::new([5, 4]).init(),
            |pool, x: Tensor<4>| pool.forward(x),
        ),
        Case::one(
            "adaptive_avg_pool1d that does not divide",
            "batch 4 10",
            "matmul",
            AdaptiveAvgPool1dConfig::new(4).init(),
            |pool, x: Tensor<3>| pool.forward(x),
        ),
    ]);
}

#[test]
fn interpolation() {
    let to = |mode: InterpolateMode| Interpolate2dConfig::new().with_mode(mode);
    run(vec![
        Case::one(
            "nearest by whole factors of named sizes",
            FREE,
            "resize",
            to(InterpolateMode::Nearest).with_scale_factor(Some([2.0, 3.0])).init(),
            |resize, x: Tensor<4>| resize.forward(x),
        ),
        Case::one(
            "nearest to any size",
            FIXED,
            "gather gather",
            to(InterpolateMode::Nearest).with_output_size(Some([5, 4])).init(),
            |resize, x: Tensor<4>| resize.forward(x),
        ),
        Case::one(
            "linear to twice named sizes",
            FREE,
            "resize",
            to(InterpolateMode::Linear).with_scale_factor(Some([2.0, 2.0])).with_align_corners(false).init(),
            |resize, x: Tensor<4>| resize.forward(x),
        ),
        Case::one(
            "linear between corners to a fixed size",
            FIXED,
            "resize",
            to(InterpolateMode::Linear).with_output_size(Some([7, 20])).with_align_corners(true).init(),
            |resize, x: Tensor<4>| resize.forward(x),
        ),
        Case::one(
            "linear from named sizes to a fixed one",
            FREE,
            "resize",
            to(InterpolateMode::Linear).with_output_size(Some([8, 8])).with_align_corners(false).init(),
            |resize, x: Tensor<4>| resize.forward(x),
        )
        .without_tract(),
        Case::one(
            "linear over one axis",
            "batch 4 11",
            "*",
            Interpolate1dConfig::new()
                .with_mode(InterpolateMode::Linear)
                .with_output_size(Some(7))
                .with_align_corners(false)
                .init(),
            |resize, x: Tensor<3>| resize.forward(x),
        ),
        Case::one(
            "cubic",
            FIXED,
            "resize",
            to(InterpolateMode::Cubic).with_output_size(Some([17, 13])).with_align_corners(false).init(),
            |resize, x: Tensor<4>| resize.forward(x),
        ),
    ]);
}
