//! Layers with parameters, normalization and attention.

use burn::module::{Module, ModuleMapper, Param};
use burn::nn::attention::{MhaInput, MultiHeadAttention, MultiHeadAttentionConfig, generate_autoregressive_mask};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{
    BatchNorm, BatchNormConfig, Dropout, DropoutConfig, EmbeddingConfig, GroupNormConfig, InstanceNormConfig,
    LayerNormConfig, Linear, LinearConfig, LinearLayout, PaddingConfig2d, Relu, RmsNormConfig,
};
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Device, Tensor, TensorData};
use mbsd_export::{Inputs, Output};
use mbsd_tests::models::noise;

use crate::case::{Case, In, run};

/// Parameters other than ones and zeros, so that a mix-up shows.
fn stirred<M: Module>(module: M) -> M {
    struct Stir(u64);
    impl ModuleMapper for Stir {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            self.0 += 1;
            param.map(|tensor| {
                let shape = tensor.shape();
                let values =
                    noise(shape.num_elements(), self.0).into_iter().map(|v| 0.75 + v / 2.0).collect::<Vec<_>>();
                Tensor::from_data(TensorData::new(values, shape), &Device::flex())
            })
        }
    }
    module.map(&mut Stir(0))
}

#[derive(Module, Debug)]
struct Block {
    conv: Conv2d,
    norm: BatchNorm,
    drop: Dropout,
    head: Linear,
}

impl Block {
    fn init() -> Self {
        let device = Device::flex();
        stirred(Self {
            conv: Conv2dConfig::new([3, 5], [3, 3]).with_padding(PaddingConfig2d::Same).with_bias(false).init(&device),
            norm: BatchNormConfig::new(5).init(&device),
            drop: DropoutConfig::new(0.5).init(),
            head: LinearConfig::new(5, 2).init(&device),
        })
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = self.norm.forward(self.conv.forward(x));
        let x = self.drop.forward(x).mean_dim(3).mean_dim(2).flatten::<2>(1, 3);
        self.head.forward(x)
    }
}

#[test]
fn layers() {
    let device = Device::flex();
    run(vec![
        Case::one(
            "linear over rows of rank 3",
            "batch text 6",
            "matmul add",
            LinearConfig::new(6, 5).init(&device),
            |linear, x: Tensor<3>| linear.forward(x),
        ),
        Case::one(
            "linear without a bias, its weight in PyTorch's layout",
            "batch 6",
            "matmul",
            LinearConfig::new(6, 5).with_bias(false).with_layout(LinearLayout::Col).init(&device),
            |linear, x: Tensor<2>| linear.forward(x),
        ),
        Case::new(
            "embedding",
            &[In::Int("ids", "batch text", 11)],
            "gather",
            EmbeddingConfig::new(11, 6).init(&device),
            |embedding, inputs| vec![Output::new("y", embedding.forward(inputs.int::<2>("ids")))],
        ),
        Case::one(
            "batch_norm after a convolution; dropout",
            "batch 3 height width",
            "conv reduce_mean reduce_mean reshape matmul add",
            Block::init(),
            |block, x: Tensor<4>| block.forward(x),
        ),
        Case::one(
            "batch_norm by itself",
            "batch 5 length",
            "relu batch_norm",
            stirred(BatchNormConfig::new(5).init(&device)),
            |norm, x: Tensor<3>| norm.forward(burn::tensor::activation::relu(x)),
        ),
        Case::one(
            "group_norm over a named length",
            "batch 6 length",
            "reshape reduce_mean sub mul reduce_mean add sqrt div reshape mul add",
            stirred(GroupNormConfig::new(3, 6).init(&device)),
            |norm, x: Tensor<3>| norm.forward(x),
        ),
        Case::one(
            "instance_norm",
            "batch 6 5 7",
            "reshape reduce_mean sub mul reduce_mean add sqrt div reshape mul add",
            stirred(InstanceNormConfig::new(6).init(&device)),
            |norm, x: Tensor<4>| norm.forward(x),
        ),
        Case::one(
            "layer_norm",
            "batch text 6",
            "layer_norm",
            stirred(LayerNormConfig::new(6).init(&device)),
            |norm, x: Tensor<3>| norm.forward(x),
        ),
        Case::one(
            "rms_norm",
            "batch text 6",
            "mul reduce_mean add sqrt div mul",
            stirred(RmsNormConfig::new(6).init(&device)),
            |norm, x: Tensor<3>| norm.forward(x),
        ),
    ]);
}

fn masked(attention: &MultiHeadAttention, inputs: &Inputs) -> Vec<Output> {
    let x = inputs.float::<3>("x");
    let [batch, text, _] = x.dims();
    let input = MhaInput::self_attn(x.clone())
        .mask_pad(inputs.int::<2>("mask").equal_elem(0))
        .mask_attn(generate_autoregressive_mask(batch, text, &x.device()));
    let output = attention.forward(input);
    vec![Output::new("context", output.context), Output::new("weights", output.weights)]
}

fn scaled(options: AttentionModuleOptions, inputs: &Inputs) -> Vec<Output> {
    let [query, key, value] = ["query", "key", "value"].map(|name| inputs.float::<4>(name));
    vec![Output::new("y", attention(query, key, value, None, None, options))]
}

#[test]
fn attention_in_parts_and_whole() {
    const QUERIES: &[In] = &[
        In::Float("query", "batch 2 target 4"),
        In::Float("key", "batch 2 source 4"),
        In::Float("value", "batch 2 source 4"),
    ];
    run(vec![
        Case::new(
            "multi_head_attention with padding and a mask of the future",
            &[In::Float("x", "batch text 8"), In::Int("mask", "batch text", 2)],
            "equal range reshape reshape sub sub less expand matmul add reshape transpose matmul add reshape matmul add reshape transpose transpose matmul div reshape where reshape where softmax matmul transpose reshape matmul add",
            MultiHeadAttentionConfig::new(8, 2).init(&Device::flex()),
            masked,
        ),
        Case::new("attention", QUERIES, "transpose matmul mul softmax matmul", Relu::new(), |_, inputs| {
            scaled(AttentionModuleOptions::default(), inputs)
        }),
        Case::new(
            "attention that is causal, with a scale and a cap",
            QUERIES,
            "transpose matmul mul div tanh mul range reshape range greater where softmax where matmul",
            Relu::new(),
            |_, inputs| {
                scaled(AttentionModuleOptions { scale: Some(0.7), softcap: Some(2.0), is_causal: true }, inputs)
            },
        ),
        Case::new(
            "attention with a mask that hides whole rows, and a bias",
            &[
                In::Float("query", "batch 2 target 4"),
                In::Float("key", "batch 2 source 4"),
                In::Int("mask", "batch 2 target source", 2),
                In::Float("bias", "batch 2 target source"),
            ],
            "less_or_equal transpose matmul mul add where softmax where matmul",
            Relu::new(),
            |_, inputs| {
                let (query, key) = (inputs.float::<4>("query"), inputs.float::<4>("key"));
                let mask = inputs.int::<4>("mask").lower_equal_elem(0);
                let bias = Some(inputs.float::<4>("bias"));
                vec![Output::new("y", attention(query, key.clone(), key, Some(mask), bias, Default::default()))]
            },
        ),
    ]);
}
