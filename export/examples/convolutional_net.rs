//! A convolutional net with batch normalization and a residual connection, for images of any number and one size.
//!
//! `cargo run -p mbsd-export --example convolutional_net [FILE.onnx]`

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig, MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::{relu, softmax};
use burn::tensor::{Device, Tensor};
use mbsd_export::{Compiler, Output, onnx};

#[derive(Module, Debug)]
struct Net {
    stem: Conv2d,
    stem_norm: BatchNorm,
    pool: MaxPool2d,
    body: Conv2d,
    body_norm: BatchNorm,
    mean: AdaptiveAvgPool2d,
    dropout: Dropout,
    head: Linear,
}

impl Net {
    fn init(device: &Device) -> Self {
        let conv =
            |from, to| Conv2dConfig::new([from, to], [3, 3]).with_padding(PaddingConfig2d::Same).with_bias(false);
        Self {
            stem: conv(3, 16).init(device),
            stem_norm: BatchNormConfig::new(16).init(device),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            body: conv(16, 16).init(device),
            body_norm: BatchNormConfig::new(16).init(device),
            mean: AdaptiveAvgPool2dConfig::new([1, 1]).init(),
            dropout: DropoutConfig::new(0.2).init(),
            head: LinearConfig::new(16, 10).init(device),
        }
    }

    /// Class probabilities `[batch, 10]` of images `[batch, 3, 64, 64]`.
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = self.pool.forward(relu(self.stem_norm.forward(self.stem.forward(images))));
        let x = relu(self.body_norm.forward(self.body.forward(x.clone())) + x);
        let x = self.dropout.forward(self.mean.forward(x).flatten::<2>(1, 3));
        softmax(self.head.forward(x), 1)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "convolutional_net.onnx".to_owned());
    let net = Net::init(&Device::flex());
    let graph = Compiler::new()
        .float("images", ["batch".into(), 3.into(), 64.into(), 64.into()])
        .compile(&net, |net, inputs| vec![Output::new("probabilities", net.forward(inputs.float::<4>("images")))])?;
    let bytes = onnx::write(&graph, &path, &Default::default())?;
    println!("{graph}\nwrote {path}, {bytes} bytes");
    Ok(())
}
