//! Losses of the tasks with a head.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

/// Mean over the batch of -y log sigmoid(x) - (1 - y) log sigmoid(-x), `[batch]` each, in the form that does not
/// overflow. Smoothing moves that much of the label's mass to both labels.
pub fn binary_cross_entropy(logits: Tensor<1>, labels: Tensor<1>, smoothing: f64) -> Tensor<1> {
    let labels = if smoothing > 0.0 { labels * (1.0 - smoothing) + smoothing / 2.0 } else { labels };
    binary_cross_entropies(logits, labels).mean()
}

/// The terms of [`binary_cross_entropy`] without smoothing, `[batch]`.
pub(super) fn binary_cross_entropies(logits: Tensor<1>, labels: Tensor<1>) -> Tensor<1> {
    let softplus = logits.clone().abs().neg().exp().log1p();
    logits.clone().clamp_min(0.0) - logits * labels + softplus
}

/// Mean over the batch of -log softmax(x) at the class, for `[batch, classes]` and `[batch]`. Smoothing moves that much of
/// the label's mass to all classes.
pub fn cross_entropy(logits: Tensor<2>, classes: Tensor<1, Int>, smoothing: f64) -> Tensor<1> {
    let log_probabilities = log_softmax(logits, 1);
    let chosen = log_probabilities.clone().gather(1, classes.unsqueeze_dim::<2>(1)).mean().neg();
    if smoothing == 0.0 {
        return chosen;
    }
    chosen * (1.0 - smoothing) - log_probabilities.mean() * smoothing
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn scalar(loss: Tensor<1>) -> f64 {
        f64::from(loss.into_scalar::<f32>())
    }

    #[test]
    fn binary_cross_entropy_does_not_overflow() {
        let device = Device::flex();
        let logits = Tensor::from_data([100.0, -100.0, 0.5], &device);
        let labels = Tensor::from_data([1.0, 0.0, 0.0], &device);
        assert!((scalar(binary_cross_entropy(logits.clone(), labels, 0.0)) - 0.974_077 / 3.0).abs() < 1e-6);
        let wrong = Tensor::from_data([0.0, 1.0, 0.0], &device);
        assert!((scalar(binary_cross_entropy(logits, wrong, 0.0)) - 200.974_077 / 3.0).abs() < 1e-4);
    }

    #[test]
    fn smoothing_mixes_in_the_uniform_label() {
        let device = Device::flex();
        let logits = Tensor::from_data([[2.0, 0.0, -1.0]], &device);
        let class = |c: i64| Tensor::<1, Int>::from_data([c], &device);
        let plain: Vec<f64> = (0..3).map(|c| scalar(cross_entropy(logits.clone(), class(c), 0.0))).collect();
        let expected = 0.7 * plain[1] + 0.3 * plain.iter().sum::<f64>() / 3.0;
        assert!((scalar(cross_entropy(logits, class(1), 0.3)) - expected).abs() < 1e-6);
    }
}
