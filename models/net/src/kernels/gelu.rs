//! Exact GELU, x Phi(x), and its derivative.

use rayon::prelude::*;

use super::math::{normal, vectorized};

/// Elements a task takes.
const CHUNK: usize = 1 << 14;

/// GELU of every element.
pub(super) fn forward(input: &[f32]) -> Vec<f32> {
    let mut output = vec![0.0; input.len()];
    output.par_chunks_mut(CHUNK).zip(input.par_chunks(CHUNK)).for_each(|(output, input)| {
        vectorized(
            #[inline(always)]
            || {
                for (output, &x) in output.iter_mut().zip(input) {
                    *output = x * normal(x).1;
                }
            },
        );
    });
    output
}

/// The gradient of the input: that of the output times Phi(x) + x phi(x).
pub(super) fn backward(input: &[f32], gradient: &[f32]) -> Vec<f32> {
    let mut output = vec![0.0; input.len()];
    let inputs = input.par_chunks(CHUNK).zip(gradient.par_chunks(CHUNK));
    output.par_chunks_mut(CHUNK).zip(inputs).for_each(|(output, (input, gradient))| {
        vectorized(
            #[inline(always)]
            || {
                for ((output, &x), &gradient) in output.iter_mut().zip(input).zip(gradient) {
                    let (density, probability) = normal(x);
                    *output = gradient * (probability + x * density);
                }
            },
        );
    });
    output
}
