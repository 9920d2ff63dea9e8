//! ResNet, which some models put in front of BERT as it comes from ImageNet.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Initializer, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::module::adaptive_avg_pool2d;
use burn::tensor::{Device, Tensor};

/// A block's output has this many times its inner width.
const EXPANSION: usize = 4;

/// How wide and deep a [`ResNet`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResNetSize {
    /// Channels behind the first convolution; the inner width of the first stage's blocks, doubled in each further stage.
    pub width: usize,
    /// Blocks of each stage.
    pub blocks: [usize; 4],
}

impl ResNetSize {
    /// ResNet-50: 2048 features.
    pub const RESNET_50: Self = Self { width: 64, blocks: [3, 4, 6, 3] };

    /// Values of an image's feature vector.
    pub fn features(self) -> usize {
        self.width * 8 * EXPANSION
    }
}

/// A convolution with the normalization behind it.
#[derive(Module, Debug)]
pub struct Normed {
    /// Without a bias.
    pub convolution: Conv2d,
    /// By its running statistics: a [`ResNet`] is frozen.
    pub norm: BatchNorm,
}

impl Normed {
    /// `size` x `size` in steps of `stride`, padded so that only the stride makes images smaller.
    fn init(channels: [usize; 2], size: usize, stride: usize, device: &Device) -> Self {
        let pad = size / 2;
        let config = Conv2dConfig::new(channels, [size, size])
            .with_stride([stride, stride])
            .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
            .with_bias(false)
            .with_initializer(Initializer::KaimingNormal { gain: 2f64.sqrt(), fan_out_only: true });
        Self { convolution: config.init(device), norm: BatchNormConfig::new(channels[1]).init(device) }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.norm.forward(self.convolution.forward(input))
    }
}

/// 1 x 1, 3 x 3 and 1 x 1 convolutions beside a shortcut. The 3 x 3 one takes the stride, as in torchvision.
#[derive(Module, Debug)]
pub struct Bottleneck {
    /// Down to the inner width.
    pub reduce: Normed,
    /// Over neighbouring pixels.
    pub spatial: Normed,
    /// Up to the outer width.
    pub expand: Normed,
    /// Where input and output differ in size.
    pub shortcut: Option<Normed>,
}

impl Bottleneck {
    fn init(inputs: usize, width: usize, stride: usize, device: &Device) -> Self {
        let outputs = width * EXPANSION;
        Self {
            reduce: Normed::init([inputs, width], 1, 1, device),
            spatial: Normed::init([width, width], 3, stride, device),
            expand: Normed::init([width, outputs], 1, 1, device),
            shortcut: (inputs != outputs || stride != 1).then(|| Normed::init([inputs, outputs], 1, stride, device)),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let inner = relu(self.spatial.forward(relu(self.reduce.forward(input.clone()))));
        let shortcut = match &self.shortcut {
            Some(shortcut) => shortcut.forward(input),
            None => input,
        };
        relu(self.expand.forward(inner) + shortcut)
    }
}

/// Images to feature vectors (He et al., 2016). Its parameters take no gradient, and its BatchNorms keep their statistics.
#[derive(Module, Debug)]
pub struct ResNet {
    /// 7 x 7 in steps of 2.
    pub stem: Normed,
    /// 3 x 3 in steps of 2, behind the stem.
    pub pool: MaxPool2d,
    /// Four stages of blocks; all but the first halve the image.
    pub stages: Vec<Vec<Bottleneck>>,
}

impl ResNet {
    /// A frozen net with initial weights, for images of `channels`.
    pub fn init(channels: usize, ResNetSize { width, blocks }: ResNetSize, device: &Device) -> Self {
        let stage = |index: usize, count: usize| {
            let inner = width << index;
            let before = if index == 0 { width } else { inner / 2 * EXPANSION };
            let block = |position: usize| match position {
                0 => Bottleneck::init(before, inner, if index == 0 { 1 } else { 2 }, device),
                _ => Bottleneck::init(inner * EXPANSION, inner, 1, device),
            };
            (0..count).map(block).collect()
        };
        let pool = MaxPool2dConfig::new([3, 3]).with_strides([2, 2]);
        Self {
            stem: Normed::init([channels, width], 7, 2, device),
            pool: pool.with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1)).init(),
            stages: blocks.into_iter().enumerate().map(|(index, count)| stage(index, count)).collect(),
        }
        .freeze()
    }

    /// The mean over all places of the last stage, `[batch, features]`, of images `[batch, channels, height, width]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let stem = self.pool.forward(relu(self.stem.forward(images)));
        let last = self.stages.iter().flatten().fold(stem, |features, block| block.forward(features));
        adaptive_avg_pool2d(last, [1, 1]).flatten::<2>(1, 3)
    }
}
