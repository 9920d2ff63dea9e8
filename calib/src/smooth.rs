//! The spread of activations moved to the weights, after SmoothQuant (Xiao et al., 2023).
//!
//! A static range has one scale for a whole tensor, so that a channel that is far larger than the others costs all of them
//! their digits. Weights have a scale for each output and much less spread over their inputs. For an input `x` of products with
//! the weights `W`, channel `j`:
//!
//! ```text
//! s_j = max|x_j|^alpha / max|W_j|^(1 - alpha)
//! x W = (x / s) (s W)
//! ```
//!
//! The second line holds in exact arithmetic; in f32 the results differ by rounding. The division is a `Mul` in front of the
//! products, not a changed LayerNorm: in a post-LN encoder the output of a LayerNorm goes into the residual sum as well, and what
//! comes out of GELU or attention has no scale of its own.

use std::collections::BTreeMap;
use std::fmt;

use tract_onnx::pb::NodeProto;

use crate::error::CalibError;
use crate::graph::{OnnxGraph, Product, inputs, node};

/// A scale below this would make a channel of next to nothing the largest.
const LEAST_SCALE: f32 = 1e-5;

/// How much of the spread goes to the weights: 0 levels the weights, 1 the activations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alpha(f32);

impl Alpha {
    /// A share from 0 to 1.
    ///
    /// # Errors
    /// If it is another number.
    pub fn new(share: f32) -> Result<Self, CalibError> {
        if (0.0..=1.0).contains(&share) {
            Ok(Self(share))
        } else {
            Err(CalibError::Setting(format!("alpha is a number from 0 to 1, not {share}")))
        }
    }

    /// The share.
    pub fn share(self) -> f32 {
        self.0
    }
}

impl fmt::Display for Alpha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Divides the inputs of the given products by a scale for each channel, and multiplies the weights by it. `channels` has the
/// largest magnitude observed of each channel of each input. Returns the products as they are now; what the graph computes
/// stays the same.
///
/// # Errors
/// If an input was not observed, or a weight cannot be read, does not fit it, or holds a value that is not finite.
pub fn smooth(
    graph: &mut OnnxGraph,
    products: &[Product],
    channels: &BTreeMap<String, Vec<f32>>,
    alpha: Alpha,
) -> Result<Vec<Product>, CalibError> {
    let mut smoothed = products.to_vec();
    let mut divisions: BTreeMap<String, NodeProto> = BTreeMap::new();
    for input in &inputs(products) {
        let readers: Vec<usize> = (0..products.len()).filter(|&i| products[i].input == *input).collect();
        let largest = channels.get(input).ok_or_else(|| CalibError::Range {
            name: input.clone(),
            reason: "was not observed by channel".to_owned(),
        })?;
        let mut weights = Vec::new();
        for &reader in &readers {
            let weight = graph.weight(&products[reader].weight)?;
            if weight.shape.first() != Some(&largest.len()) {
                let reason = format!("has shape {:?} for {} channels", weight.shape, largest.len());
                return Err(CalibError::Weight { name: weight.name, reason });
            }
            weights.push(weight);
        }
        let scale = |(channel, &activation): (usize, &f32)| {
            let weight = weights.iter().flat_map(|weight| weight.row(channel)).fold(0f32, |m, w| m.max(w.abs()));
            if activation == 0.0 || weight == 0.0 {
                return 1.0;
            }
            (activation.powf(alpha.0) / weight.powf(1.0 - alpha.0)).clamp(LEAST_SCALE, 1.0 / LEAST_SCALE)
        };
        let scales: Vec<f32> = largest.iter().enumerate().map(scale).collect();
        let inverses: Vec<f32> = scales.iter().map(|scale| scale.recip()).collect();
        let inverse = graph.floats(format!("{input}.inverse_scales"), &[inverses.len()], &inverses);
        let name = graph.fresh(format!("{input}.smoothed"));
        for (weight, &reader) in weights.iter().zip(&readers) {
            let values: Vec<f32> = scales
                .iter()
                .enumerate()
                .flat_map(|(channel, scale)| weight.row(channel).iter().map(move |value| value * scale))
                .collect();
            smoothed[reader].weight = graph.floats(format!("{}.smoothed", weight.name), &weight.shape, &values);
            smoothed[reader].input.clone_from(&name);
        }
        divisions.insert(name.clone(), node("Mul", &name, &[input, &inverse]));
    }
    let by_output: BTreeMap<&str, &Product> =
        smoothed.iter().map(|product| (product.output.as_str(), product)).collect();
    graph.rewrite(|_, mut original| {
        let Some(product) = original.output.first().and_then(|output| by_output.get(output.as_str())) else {
            return Ok(vec![original]);
        };
        original.input = vec![product.input.clone(), product.weight.clone()];
        Ok(divisions.remove(&product.input).into_iter().chain([original]).collect())
    })?;
    Ok(smoothed)
}
