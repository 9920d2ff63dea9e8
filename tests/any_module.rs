//! The compiler on modules that are not MBSD, through every engine, and what it refuses.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNormConfig, Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::{gelu, leaky_relu, relu, sigmoid, softmax};
use burn::tensor::{Device, Int, Tensor as BurnTensor, TensorData};
use mbsd_export::{Compiler, ExportError, Extent, Graph, Output, onnx};
use mbsd_runtime::engine::SessionOptions;
use mbsd_spec::{NamedTensors, Tensor};
use mbsd_tests::models::{noise, plain};
use mbsd_tests::{engines, max_difference, tolerance};

/// Runs the graph through every engine and compares each output with Burn's.
fn check(graph: &Graph, inputs: &NamedTensors, expected: &[(&str, Tensor)]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graph.onnx");
    onnx::write(graph, &path, &Default::default()).unwrap();
    for engine in engines::available() {
        let mut session = engine.load(&path, &SessionOptions::default()).unwrap();
        let outputs = session.run(inputs).unwrap_or_else(|e| panic!("{}: {e}\n{graph}", engine.kind()));
        for (name, expected) in expected {
            assert_eq!(outputs[*name].shape(), expected.shape(), "{}: `{name}`", engine.kind());
            let difference = max_difference(outputs[*name].as_f32().unwrap(), expected.as_f32().unwrap());
            assert!(difference <= tolerance::ENGINE, "{}: `{name}` differs by {difference:e}", engine.kind());
        }
    }
}

fn floats<const D: usize>(shape: [usize; D], seed: u64) -> (Tensor, BurnTensor<D>) {
    let data = noise(shape.iter().product(), seed);
    let burn = BurnTensor::from_data(TensorData::new(data.clone(), shape), &Device::flex());
    (Tensor::f32(shape, data).unwrap(), burn)
}

#[derive(Module, Debug)]
struct ConvNet {
    stem: Conv2d,
    body: Conv2d,
    head: Linear,
}

impl ConvNet {
    fn forward(&self, pixels: BurnTensor<4>) -> BurnTensor<2> {
        let x = leaky_relu(self.stem.forward(pixels), 0.1);
        let x = relu(self.body.forward(x.clone())) + x;
        let x = x.mean_dim(3).mean_dim(2).flatten::<2>(1, 3);
        sigmoid(self.head.forward(x))
    }
}

#[test]
fn a_convolutional_net_with_a_free_image_size() {
    let device = Device::flex();
    let net = ConvNet {
        stem: Conv2dConfig::new([3, 8], [3, 3])
            .with_padding(burn::nn::PaddingConfig2d::Explicit(1, 1, 1, 1))
            .init(&device),
        body: Conv2dConfig::new([8, 8], [3, 3])
            .with_padding(burn::nn::PaddingConfig2d::Explicit(1, 1, 1, 1))
            .init(&device),
        head: LinearConfig::new(8, 4).init(&device),
    };
    let graph = Compiler::new()
        .float("pixels", ["batch".into(), 3.into(), "height".into(), "width".into()])
        .compile(&net, |net, inputs| vec![Output::new("scores", net.forward(inputs.float::<4>("pixels")))])
        .unwrap();
    for shape in [[1, 3, 6, 9], [4, 3, 11, 5]] {
        let (plain_pixels, pixels) = floats(shape, 3);
        let expected = plain(net.forward(pixels));
        check(&graph, &NamedTensors::from([("pixels".into(), plain_pixels)]), &[("scores", expected)]);
    }
}

#[derive(Module, Debug)]
struct DecoderBlock {
    tokens: Embedding,
    query: Linear,
    key: Linear,
    value: Linear,
    norm: LayerNorm,
    inner: Linear,
    outer: Linear,
}

impl DecoderBlock {
    fn init(device: &Device) -> Self {
        let linear = |a, b| LinearConfig::new(a, b).init(device);
        Self {
            tokens: EmbeddingConfig::new(29, 16).init(device),
            query: linear(16, 16),
            key: linear(16, 16),
            value: linear(16, 16),
            norm: LayerNormConfig::new(16).init(device),
            inner: linear(16, 40),
            outer: linear(40, 16),
        }
    }

    /// Reads `memory` `[batch, source, 16]` from `ids` `[batch, target]`, hiding what `mask` `[batch, source]` hides.
    fn forward(&self, ids: BurnTensor<2, Int>, memory: BurnTensor<3>, mask: BurnTensor<2, Int>) -> BurnTensor<3> {
        let x = self.tokens.forward(ids);
        let scores =
            self.query.forward(self.norm.forward(x.clone())).matmul(self.key.forward(memory.clone()).transpose());
        let [batch, target, source] = scores.dims();
        let hidden = mask.equal_elem(0).unsqueeze_dim::<3>(1).expand([batch, target, source]);
        let weights = softmax(scores.mask_fill(hidden, -1e4) / 4.0, 2);
        let x = x + weights.matmul(self.value.forward(memory));
        x.clone() + self.outer.forward(gelu(self.inner.forward(x)))
    }
}

#[test]
fn a_decoder_block_with_three_named_sizes() {
    let block = DecoderBlock::init(&Device::flex());
    let graph = Compiler::new()
        .int("ids", ["batch".into(), "target".into()])
        .float("memory", ["batch".into(), "source".into(), 16.into()])
        .int("mask", ["batch".into(), "source".into()])
        .compile(&block, |block, inputs| {
            let (ids, memory, mask) = (inputs.int::<2>("ids"), inputs.float::<3>("memory"), inputs.int::<2>("mask"));
            vec![Output::new("y", block.forward(ids, memory, mask))]
        })
        .unwrap();
    assert_eq!(graph.symbols, ["batch", "target", "source"]);
    assert!(graph.nodes.iter().any(|node| node.name == "query"), "{graph}");
    for (batch, target, source) in [(1, 1, 1), (2, 5, 3), (3, 4, 9)] {
        let ids: Vec<i64> = (0..batch * target).map(|i| (i * 5 % 29) as i64).collect();
        let mask: Vec<i64> = (0..batch * source).map(|i| i64::from(i % source <= source / 2)).collect();
        let (plain_memory, memory) = floats([batch, source, 16], 5);
        let device = Device::flex();
        let int = |data: &[i64], shape: [usize; 2]| {
            BurnTensor::<2, Int>::from_data(TensorData::new(data.to_vec(), shape), &device)
        };
        let expected = plain(block.forward(int(&ids, [batch, target]), memory, int(&mask, [batch, source])));
        let inputs = NamedTensors::from([
            ("ids".into(), Tensor::i64([batch, target], ids).unwrap()),
            ("memory".into(), plain_memory),
            ("mask".into(), Tensor::i64([batch, source], mask).unwrap()),
        ]);
        check(&graph, &inputs, &[("y", expected)]);
    }
}

fn linear() -> Linear {
    LinearConfig::new(4, 4).init(&Device::flex())
}

fn refused(shape: [Extent; 2], forward: impl Fn(&Linear, BurnTensor<2>) -> BurnTensor<2>) -> ExportError {
    Compiler::new()
        .float("x", shape)
        .compile(&linear(), |linear, inputs| vec![Output::new("y", forward(linear, inputs.float::<2>("x")))])
        .map(|graph| panic!("compiled: {graph}"))
        .unwrap_err()
}

#[test]
fn a_module_is_as_before_once_it_is_compiled() {
    let device = Device::flex();
    let norm = BatchNormConfig::new(4).init(&device);
    let (_, x) = floats([3, 4], 9);
    let before = plain(norm.forward(x.clone()));
    Compiler::new()
        .float("x", ["rows".into(), 4.into()])
        .compile(&norm, |norm, inputs| vec![Output::new("y", norm.forward(inputs.float::<2>("x")))])
        .unwrap();
    assert_eq!(plain(norm.forward(x)).as_f32(), before.as_f32(), "running statistics stay with the module");
}

#[test]
fn an_operation_without_a_lowering_is_named_with_the_nearest_parameter() {
    let error = refused(["rows".into(), 4.into()], |linear, x| linear.forward(x).cumprod(1));
    let text = error.to_string();
    assert!(text.contains("`CumProd` near parameter `bias`") && text.contains("supported are: Linear"), "{text}");
}

#[test]
fn what_depends_on_values_is_refused_with_its_place_and_a_way_out() {
    type Forward = fn(&Linear, BurnTensor<2>) -> BurnTensor<2>;
    let reads: [(&str, Forward); 3] = [
        ("after `GreaterElem` near parameter `bias`", |linear, x| {
            let places = linear.forward(x.clone()).greater_elem(0.0).argwhere();
            x.select(0, places.slice([0..1, 0..1]).flatten(0, 1))
        }),
        ("after `Sum` near parameter `bias`", |linear, x| {
            let x = linear.forward(x);
            if x.clone().sum().into_scalar::<f32>() > 0.0 { x } else { -x }
        }),
        ("before its first operation", |linear, x| {
            let first: f32 = x.to_data().iter::<f32>().next().unwrap_or(0.0);
            linear.forward(x) * first
        }),
    ];
    for (place, forward) in reads {
        let error = refused(["rows".into(), 4.into()], forward);
        let text = error.to_string();
        assert!(matches!(error, ExportError::DataDependent { .. }), "{text}");
        assert!(
            text.contains(place) && text.contains("mask_where") && text.contains("supported are: Linear"),
            "{text}"
        );
    }
}

#[test]
fn an_extent_that_does_not_fit_is_refused() {
    let error = refused(["rows".into(), 4.into()], |linear, x| {
        let [rows, _] = x.dims();
        linear.forward(x).slice(0..rows.div_ceil(2))
    });
    assert!(matches!(error, ExportError::Dimension { .. }), "{error}");
    assert!(error.to_string().contains("the `slice` near parameter `bias`"), "{error}");
    let error = refused(["rows".into(), 4.into()], |linear, x| {
        let [rows, _] = x.dims();
        linear.forward(x).slice(0..rows.min(4))
    });
    assert!(matches!(error, ExportError::Dimension { .. }), "{error}");
}

#[test]
fn a_forward_that_branches_on_a_size_is_refused() {
    let error = refused(["rows".into(), 4.into()], |linear, x| {
        let [rows, _] = x.dims();
        if rows > 4 { relu(linear.forward(x)) } else { linear.forward(x) }
    });
    assert!(matches!(error, ExportError::Structure(_)), "{error}");
    let error = refused(["rows".into(), 4.into()], |linear, x| {
        let [rows, _] = x.dims();
        linear.forward(x) / rows as f64
    });
    assert!(error.to_string().contains("has another value"), "{error}");
}

#[test]
fn a_forward_that_panics_is_an_error() {
    let error = refused(["rows".into(), 4.into()], |linear, x| linear.forward(x.transpose()));
    assert!(matches!(error, ExportError::Forward { .. }), "{error}");
    assert!(error.to_string().contains("after `SwapDims`"), "{error}");
    let error = Compiler::new()
        .float("x", ["rows".into(), 4.into()])
        .compile(&linear(), |linear, inputs| vec![Output::new("y", linear.forward(inputs.float::<2>("z")))])
        .unwrap_err();
    assert!(error.to_string().contains("undeclared input `z`"), "{error}");
}
