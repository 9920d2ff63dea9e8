//! Layer normalization over the last axis, and its gradients.

use rayon::prelude::*;

use super::math::{sum_of, vectorized};

/// Rows a task takes. Sums over rows are made task by task, so that they do not depend on threads.
const ROWS: usize = 64;

/// Normalized rows of `gamma.len()` elements.
pub(super) fn forward(input: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32) -> Vec<f32> {
    let width = gamma.len();
    let mut output = vec![0.0; input.len()];
    output.par_chunks_mut(ROWS * width).zip(input.par_chunks(ROWS * width)).for_each(|(output, input)| {
        vectorized(
            #[inline(always)]
            || {
                for (output, row) in output.chunks_exact_mut(width).zip(input.chunks_exact(width)) {
                    let Moments { mean, scale } = Moments::of(row, epsilon);
                    for (((output, x), gamma), beta) in output.iter_mut().zip(row).zip(gamma).zip(beta) {
                        *output = (x - mean) * scale * gamma + beta;
                    }
                }
            },
        );
    });
    output
}

/// Gradients of input, gamma and beta.
pub(super) fn backward(input: &[f32], gamma: &[f32], gradient: &[f32], epsilon: f32) -> [Vec<f32>; 3] {
    let width = gamma.len();
    let mut of_input = vec![0.0; input.len()];
    let tasks = of_input
        .par_chunks_mut(ROWS * width)
        .zip(input.par_chunks(ROWS * width))
        .zip(gradient.par_chunks(ROWS * width));
    let sums: Vec<[Vec<f32>; 2]> = tasks
        .map(|((of_input, input), gradient)| {
            let mut of_gamma = vec![0.0; width];
            let mut of_beta = vec![0.0; width];
            vectorized(
                #[inline(always)]
                || {
                    let rows = of_input.chunks_exact_mut(width).zip(input.chunks_exact(width));
                    for ((of_input, row), gradient) in rows.zip(gradient.chunks_exact(width)) {
                        let Moments { mean, scale } = Moments::of(row, epsilon);
                        // First that of the normalized row, in the place of what is to come.
                        for ((into, gradient), gamma) in of_input.iter_mut().zip(gradient).zip(gamma) {
                            *into = gradient * gamma;
                        }
                        let mean_gradient = sum_of(of_input, of_input, |gradient, _| gradient) / width as f32;
                        let mean_product =
                            sum_of(of_input, row, |gradient, x| gradient * (x - mean)) * scale / width as f32;
                        for (into, x) in of_input.iter_mut().zip(row) {
                            *into = scale * (*into - mean_gradient - (x - mean) * scale * mean_product);
                        }
                        for ((of_gamma, gradient), x) in of_gamma.iter_mut().zip(gradient).zip(row) {
                            *of_gamma += gradient * (x - mean) * scale;
                        }
                        for (of_beta, gradient) in of_beta.iter_mut().zip(gradient) {
                            *of_beta += gradient;
                        }
                    }
                },
            );
            [of_gamma, of_beta]
        })
        .collect();
    let mut of_gamma = vec![0.0; width];
    let mut of_beta = vec![0.0; width];
    for [gamma, beta] in sums {
        of_gamma.iter_mut().zip(gamma).for_each(|(sum, part)| *sum += part);
        of_beta.iter_mut().zip(beta).for_each(|(sum, part)| *sum += part);
    }
    [of_input, of_gamma, of_beta]
}

/// A row's mean and the reciprocal of its standard deviation.
struct Moments {
    mean: f32,
    scale: f32,
}

impl Moments {
    #[inline(always)]
    fn of(row: &[f32], epsilon: f32) -> Self {
        let mean = sum_of(row, row, |x, _| x) / row.len() as f32;
        let variance = sum_of(row, row, |x, _| (x - mean) * (x - mean)) / row.len() as f32;
        Self { mean, scale: 1.0 / (variance + epsilon).sqrt() }
    }
}
