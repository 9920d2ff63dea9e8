//! The kernels against Burn's own operations: outputs and every gradient.

use burn::tensor::activation::softmax;
use burn::tensor::{Distribution, Tensor};

use super::*;

/// Sums are taken in another order, and erf is another approximation.
const TOLERANCE: f32 = 2e-6;

fn cpu() -> Device {
    Device::flex().autodiff()
}

fn noise<const D: usize>(shape: [usize; D], scale: f64) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, scale), &cpu()).require_grad()
}

fn check<const D: usize>(what: &str, found: Tensor<D>, expected: Tensor<D>) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    let scale = expected.clone().abs().max().into_scalar::<f32>().max(1.0);
    let difference = (found - expected).abs().max().into_scalar::<f32>();
    assert!(difference <= TOLERANCE * scale, "{what}: {difference:e} of {scale}");
}

/// A gradient that differs from element to element.
fn weighted<const D: usize>(output: Tensor<D>) -> Tensor<1> {
    let shape = output.shape();
    let weights = Tensor::<1, burn::tensor::Int>::arange(0..shape.num_elements() as i64, &cpu()).float();
    (output * (weights * 0.37).sin().reshape(shape)).sum()
}

#[test]
fn gelu_and_its_gradient() {
    cpu().seed(1);
    let input = noise([5, 7, 33], 2.5);
    check("gelu", gelu(input.clone()), burn::tensor::activation::gelu(input.clone()));
    let found = input.grad(&weighted(gelu(input.clone())).backward()).unwrap();
    let expected = input.grad(&weighted(burn::tensor::activation::gelu(input.clone())).backward()).unwrap();
    check("gradient", found, expected);
}

#[test]
fn layer_norm_and_its_gradients() {
    cpu().seed(2);
    for (shape, offset) in [([3, 50, 24], 0.0), ([1, 1, 5], 3.0), ([2, 65, 192], -8.0)] {
        let (input, gamma, beta) = (noise(shape, 1.5), noise([shape[2]], 1.0), noise([shape[2]], 1.0));
        let fused = || layer_norm(input.clone() + offset, gamma.clone(), beta.clone(), 1e-6);
        let plain =
            || burn::tensor::module::layer_norm(input.clone() + offset, gamma.clone(), Some(beta.clone()), 1e-6);
        check("output", fused(), plain());
        let (found, expected) = (weighted(fused()).backward(), weighted(plain()).backward());
        check("input", input.grad(&found).unwrap(), input.grad(&expected).unwrap());
        check("gamma", gamma.grad(&found).unwrap(), gamma.grad(&expected).unwrap());
        check("beta", beta.grad(&found).unwrap(), beta.grad(&expected).unwrap());
    }
}

fn plain_attention([query, key, value]: [Tensor<3>; 3], mask: Option<Tensor<2>>, heads: usize) -> Tensor<3> {
    let [batch, queries, width] = query.dims();
    let [_, tokens, _] = key.dims();
    let split = |x: Tensor<3>, length| x.reshape([batch, length, heads, width / heads]).swap_dims(1, 2);
    let scores = split(query, queries).matmul(split(key, tokens).transpose()) / ((width / heads) as f64).sqrt();
    let scores = match mask {
        Some(mask) => scores + mask.unsqueeze_dims::<4>(&[1, 2]),
        None => scores,
    };
    softmax(scores, 3).matmul(split(value, tokens)).swap_dims(1, 2).reshape([batch, queries, width])
}

#[test]
fn attention_and_its_gradients() {
    cpu().seed(3);
    for (batch, queries, tokens, heads, width, masked) in
        [(3, 7, 7, 2, 24, true), (2, 1, 19, 4, 64, true), (1, 5, 5, 1, 3, false), (4, 33, 33, 4, 192, false)]
    {
        let inputs = [
            noise([batch, queries, width], 1.5),
            noise([batch, tokens, width], 1.5),
            noise([batch, tokens, width], 1.0),
        ];
        let mask = masked.then(|| {
            let padding =
                Tensor::<2, burn::tensor::Int>::from_data([[0i64]], &cpu()).float().expand([batch, tokens - 2]);
            Tensor::cat(vec![padding.clone(), Tensor::full([batch, 2], -1e4, &cpu())], 1)
        });
        let fused = |[query, key, value]: [Tensor<3>; 3]| attention(query, key, value, mask.clone(), heads);
        let plain = |inputs: [Tensor<3>; 3]| plain_attention(inputs, mask.clone(), heads);
        check("output", fused(inputs.clone()), plain(inputs.clone()));
        let found = weighted(fused(inputs.clone())).backward();
        let expected = weighted(plain(inputs.clone())).backward();
        for (name, input) in ["query", "key", "value"].into_iter().zip(&inputs) {
            check(name, input.grad(&found).unwrap(), input.grad(&expected).unwrap());
        }
    }
}

#[test]
fn other_devices_keep_burns_operations() {
    let tracked = Tensor::<2>::zeros([1, 1], &cpu());
    assert!(apply(&tracked));
    assert!(!apply(&Tensor::<2>::zeros([1, 1], &Device::flex())), "evaluation");
    assert!(!apply(&tracked.cast(burn::tensor::FloatDType::BF16)), "another precision");
    assert!(!is_cpu_training(&Device::capture()), "an export");
}
