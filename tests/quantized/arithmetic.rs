//! One product against the same arithmetic written out, to the last bit.

use std::path::Path;

use burn::module::Param;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::Device;
use mbsd_calib::graph::OnnxGraph;
use mbsd_calib::per_token;
use mbsd_calib::weights::{QuantizedWeight, WeightBits};
use mbsd_export::{Compiler, Output, onnx};
use mbsd_runtime::engine::SessionOptions;
use mbsd_spec::{NamedTensors, Tensor};
use mbsd_tests::{engines, models};

const INPUTS: usize = 48;
const OUTPUTS: usize = 40;

/// A linear map without a bias over `[batch, text, INPUTS]`, and its 8-bit form.
fn write(folder: &Path, bits: WeightBits) -> QuantizedWeight {
    let linear: Linear = LinearConfig::new(INPUTS, OUTPUTS).with_bias(false).init(&Device::flex());
    let graph = Compiler::new()
        .float("x", ["batch".into(), "text".into(), INPUTS.into()])
        .compile(&linear, |linear, inputs| vec![Output::new("y", linear.forward(inputs.float::<3>("x")))])
        .unwrap();
    let path = folder.join("f32.onnx");
    onnx::write(&graph, &path, &Default::default()).unwrap();
    let mut graph = OnnxGraph::read(&path).unwrap();
    let products = graph.products().unwrap();
    assert_eq!(products.len(), 1);
    assert!(products[0].per_token);
    let weight = QuantizedWeight::new(&graph.weight(&products[0].weight).unwrap(), 1, bits).unwrap();
    per_token::quantize(&mut graph, &products, bits).unwrap();
    graph.write(&folder.join("int8.onnx")).unwrap();
    weight
}

/// What docs/quantization.md says of a token, in plain Rust.
fn token(x: &[f32], weight: &QuantizedWeight) -> Vec<f32> {
    let magnitude = x.iter().fold(1e-30f32, |largest, value| largest.max(value.abs()));
    let inverse = 127.0 / magnitude;
    let q: Vec<i32> = x.iter().map(|value| (value * inverse).round_ties_even() as i32).collect();
    let scale = magnitude / 127.0;
    (0..OUTPUTS)
        .map(|output| {
            let sum: i32 = q.iter().enumerate().map(|(i, q)| q * i32::from(weight.values[i * OUTPUTS + output])).sum();
            sum as f32 * weight.scales[output] * scale
        })
        .collect()
}

#[test]
fn a_product_is_what_plain_arithmetic_gives() {
    for bits in [WeightBits::Eight, WeightBits::Seven] {
        let folder = tempfile::tempdir().unwrap();
        let weight = write(folder.path(), bits);
        assert!(weight.values.iter().all(|value| value.unsigned_abs() <= bits.limit().unsigned_abs()));
        let mut x = models::noise(3 * 5 * INPUTS, 3);
        // Tokens of different size, one of zeros, one almost so.
        for (number, token) in x.chunks_exact_mut(INPUTS).enumerate() {
            let size = [1.0, 1e-3, 0.0, 4e4, 1e-34][number % 5];
            token.iter_mut().for_each(|value| *value *= size);
        }
        let expected: Vec<f32> = x.chunks_exact(INPUTS).flat_map(|x| token(x, &weight)).collect();
        let inputs = NamedTensors::from([("x".to_owned(), Tensor::f32([3, 5, INPUTS], x).unwrap())]);
        for engine in engines::available() {
            let mut session = engine.load(&folder.path().join("int8.onnx"), &SessionOptions::default()).unwrap();
            let found = session.run(&inputs).unwrap();
            assert_eq!(found["y"].as_f32().unwrap(), expected, "{} {bits:?}", engine.kind());
        }
    }
}

/// On x86 without VNNI, products of unsigned and signed bytes are added in pairs in 16 bits, which the largest overflow unless
/// the engine is asked for other kernels. Whatever machine this runs on.
#[test]
fn sums_of_the_largest_bytes_are_exact() {
    let folder = tempfile::tempdir().unwrap();
    let mut linear: Linear = LinearConfig::new(512, 4).with_bias(false).init(&Device::flex());
    linear.weight = Param::from_tensor(burn::tensor::Tensor::ones([512, 4], &Device::flex()));
    let graph = Compiler::new()
        .float("x", ["batch".into(), "text".into(), 512.into()])
        .compile(&linear, |linear, inputs| vec![Output::new("y", linear.forward(inputs.float::<3>("x")))])
        .unwrap();
    let path = folder.path().join("f32.onnx");
    onnx::write(&graph, &path, &Default::default()).unwrap();
    let mut graph = OnnxGraph::read(&path).unwrap();
    let products = graph.products().unwrap();
    per_token::quantize(&mut graph, &products, WeightBits::Eight).unwrap();
    graph.write(&folder.path().join("int8.onnx")).unwrap();
    let inputs = NamedTensors::from([("x".to_owned(), Tensor::f32([1, 3, 512], vec![1.0; 3 * 512]).unwrap())]);
    for engine in engines::available() {
        let mut session = engine.load(&folder.path().join("int8.onnx"), &SessionOptions::default()).unwrap();
        let found = session.run(&inputs).unwrap();
        for value in found["y"].as_f32().unwrap() {
            // 512 times 127 times 127, rounded in three factors of f32.
            assert!((value - 512.0).abs() < 1e-3, "{value} {}", engine.kind());
        }
    }
}

/// A value that is no number must not become a plausible one.
#[test]
fn a_token_that_is_not_finite_stays_so() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), WeightBits::Eight);
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = models::noise(2 * 4 * INPUTS, 5);
        x[INPUTS..2 * INPUTS].fill(value);
        let inputs = NamedTensors::from([("x".to_owned(), Tensor::f32([2, 4, INPUTS], x).unwrap())]);
        for engine in engines::available() {
            let mut session = engine.load(&folder.path().join("int8.onnx"), &SessionOptions::default()).unwrap();
            let found = session.run(&inputs).unwrap();
            let rows: Vec<bool> = found["y"]
                .as_f32()
                .unwrap()
                .chunks_exact(OUTPUTS)
                .map(|row| row.iter().all(|value| value.is_finite()))
                .collect();
            let expected: Vec<bool> = (0..8).map(|row| row != 1).collect();
            assert_eq!(rows, expected, "{value} {}", engine.kind());
        }
    }
}
