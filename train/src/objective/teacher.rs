//! A trained model whose answers are learnt besides the labels (Hinton et al., "Distilling the Knowledge in a Neural Network",
//! 2015).

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor};
use mbsd_net::Network;

use super::logits;
use super::sdmi::bernoulli_divergence;
use crate::data::HostBatch;

/// A teacher, on one device.
#[derive(Debug, Clone)]
pub struct Teacher {
    /// The model, on the device without automatic differentiation.
    pub model: Network,
    /// The share of its answers in the loss.
    pub weight: f64,
    /// What logits are divided by.
    pub temperature: f64,
}

impl Teacher {
    /// The loss of what a pupil answers, `[rows, outputs]`, to the rows that the teacher read in its own form. `lesson` is
    /// used up.
    pub fn loss(&self, pupil: Tensor<2>, lesson: &mut HostBatch) -> Tensor<1> {
        let device: Device = pupil.device().without_autodiff();
        let answers = Tensor::from_inner(logits(&self.model, lesson, &device));
        distillation(pupil, answers, self.temperature)
    }
}

/// Mean over the rows of the divergence D(teacher, pupil) of the distributions that logits divided by the temperature stand for, times its
/// square, which keeps the gradients' size. One output is the logit of a yes, several are classes; `[rows, outputs]` each.
pub fn distillation(pupil: Tensor<2>, teacher: Tensor<2>, temperature: f64) -> Tensor<1> {
    let [_, outputs] = pupil.dims();
    let (pupil, teacher) = (pupil / temperature, teacher.detach() / temperature);
    let divergence = if outputs == 1 {
        bernoulli_divergence(teacher.squeeze_dim::<1>(1), pupil.squeeze_dim::<1>(1))
    } else {
        let (pupil, teacher) = (log_softmax(pupil, 1), log_softmax(teacher, 1));
        (teacher.clone().exp() * (teacher - pupil)).sum_dim(1).squeeze_dim::<1>(1)
    };
    divergence.mean() * temperature.powi(2)
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;

    fn of(values: &[f64], outputs: usize) -> Tensor<2> {
        let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
        Tensor::from_data(
            TensorData::new(values.clone(), [values.len() / outputs, outputs]),
            &Device::flex().autodiff(),
        )
    }

    fn value(pupil: &[f64], teacher: &[f64], outputs: usize, temperature: f64) -> f64 {
        let loss = distillation(of(pupil, outputs), of(teacher, outputs), temperature);
        f64::from(loss.into_scalar::<f32>())
    }

    fn softmax(logits: &[f64], temperature: f64) -> Vec<f64> {
        let powers: Vec<f64> = logits.iter().map(|logit| (logit / temperature).exp()).collect();
        powers.iter().map(|power| power / powers.iter().sum::<f64>()).collect()
    }

    #[test]
    fn it_is_the_divergence_of_softened_answers() {
        let (pupil, teacher) = ([0.3, -1.2, 2.0, 0.1, 0.0, -0.7], [1.5, 0.2, -0.4, -1.0, 3.0, 0.6]);
        for temperature in [1.0, 3.0] {
            let rows = pupil.chunks(3).zip(teacher.chunks(3)).map(|(pupil, teacher)| {
                let (pupil, teacher) = (softmax(pupil, temperature), softmax(teacher, temperature));
                teacher.iter().zip(&pupil).map(|(t, p)| t * (t / p).ln()).sum::<f64>()
            });
            let expected = rows.sum::<f64>() / 2.0 * temperature * temperature;
            assert!((value(&pupil, &teacher, 3, temperature) - expected).abs() < 1e-6);
            // A yes is one of two classes, whose other logit is 0.
            let pair = |logit: &[f64]| softmax(&[logit[0], 0.0], temperature);
            let rows = pupil.chunks(1).zip(teacher.chunks(1)).map(|(pupil, teacher)| {
                pair(teacher).iter().zip(pair(pupil)).map(|(t, p)| t * (t / p).ln()).sum::<f64>()
            });
            let expected = rows.sum::<f64>() / 6.0 * temperature * temperature;
            assert!((value(&pupil, &teacher, 1, temperature) - expected).abs() < 1e-6);
        }
        assert!(value(&pupil, &pupil, 3, 2.0).abs() < 1e-7);
        assert!(value(&[200.0, -200.0], &[-200.0, 200.0], 1, 1.0).is_finite());
    }

    #[test]
    fn the_pupil_alone_learns() {
        let [pupil, teacher] = [[0.5, -1.0], [2.0, 1.0]].map(|logits| of(&logits, 1).require_grad());
        let gradients = distillation(pupil.clone(), teacher.clone(), 4.0).backward();
        assert!(teacher.grad(&gradients).is_none_or(|gradient| gradient.abs().max().into_scalar::<f32>() == 0.0));
        let sigmoid = |logit: f64| 1.0 / (1.0 + (-logit / 4.0).exp());
        let learnt: Vec<f64> = pupil.grad(&gradients).unwrap().into_data().iter::<f32>().map(f64::from).collect();
        for (gradient, (pupil, teacher)) in learnt.iter().zip([(0.5, 2.0), (-1.0, 1.0)]) {
            let expected = 4.0 * (sigmoid(pupil) - sigmoid(teacher)) / 2.0;
            assert!((gradient - expected).abs() < 1e-6, "{gradient} {expected}");
        }
    }
}
