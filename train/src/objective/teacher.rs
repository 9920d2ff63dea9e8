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
    /// The loss of what a student answers, `[rows, outputs]`, to the rows of which `batch` is what the teacher reads. The inputs are moved
    /// out of that.
    pub fn loss(&self, student: Tensor<2>, batch: &mut HostBatch) -> Tensor<1> {
        let device: Device = student.device().without_autodiff();
        let answers = Tensor::from_inner(logits(&self.model, batch, &device));
        distillation(student, answers, self.temperature)
    }
}

/// Mean over the rows of the divergence D(teacher, student) of the distributions that logits divided by the temperature stand for, times its
/// square, which keeps the gradients' size. One output is the logit of a yes, several are classes; `[rows, outputs]` each.
pub fn distillation(student: Tensor<2>, teacher: Tensor<2>, temperature: f64) -> Tensor<1> {
    let [_, outputs] = student.dims();
    let (student, teacher) = (student / temperature, teacher.detach() / temperature);
    let divergence = if outputs == 1 {
        bernoulli_divergence(teacher.squeeze_dim::<1>(1), student.squeeze_dim::<1>(1))
    } else {
        let (student, teacher) = (log_softmax(student, 1), log_softmax(teacher, 1));
        (teacher.clone().exp() * (teacher - student)).sum_dim(1).squeeze_dim::<1>(1)
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

    fn value(student: &[f64], teacher: &[f64], outputs: usize, temperature: f64) -> f64 {
        let loss = distillation(of(student, outputs), of(teacher, outputs), temperature);
        f64::from(loss.into_scalar::<f32>())
    }

    fn softmax(logits: &[f64], temperature: f64) -> Vec<f64> {
        let powers: Vec<f64> = logits.iter().map(|logit| (logit / temperature).exp()).collect();
        powers.iter().map(|power| power / powers.iter().sum::<f64>()).collect()
    }

    #[test]
    fn it_is_the_divergence_of_softened_answers() {
        let (student, teacher) = ([0.3, -1.2, 2.0, 0.1, 0.0, -0.7], [1.5, 0.2, -0.4, -1.0, 3.0, 0.6]);
        for temperature in [1.0, 3.0] {
            let rows = student.chunks(3).zip(teacher.chunks(3)).map(|(student, teacher)| {
                let (student, teacher) = (softmax(student, temperature), softmax(teacher, temperature));
                teacher.iter().zip(&student).map(|(t, p)| t * (t / p).ln()).sum::<f64>()
            });
            let expected = rows.sum::<f64>() / 2.0 * temperature * temperature;
            assert!((value(&student, &teacher, 3, temperature) - expected).abs() < 1e-6);
            // A yes is one of two classes, whose other logit is 0.
            let pair = |logit: &[f64]| softmax(&[logit[0], 0.0], temperature);
            let rows = student.chunks(1).zip(teacher.chunks(1)).map(|(student, teacher)| {
                pair(teacher).iter().zip(pair(student)).map(|(t, p)| t * (t / p).ln()).sum::<f64>()
            });
            let expected = rows.sum::<f64>() / 6.0 * temperature * temperature;
            assert!((value(&student, &teacher, 1, temperature) - expected).abs() < 1e-6);
        }
        assert!(value(&student, &student, 3, 2.0).abs() < 1e-7);
        assert!(value(&[200.0, -200.0], &[-200.0, 200.0], 1, 1.0).is_finite());
    }

    #[test]
    fn the_student_alone_learns() {
        let [student, teacher] = [[0.5, -1.0], [2.0, 1.0]].map(|logits| of(&logits, 1).require_grad());
        let gradients = distillation(student.clone(), teacher.clone(), 4.0).backward();
        assert!(teacher.grad(&gradients).is_none_or(|gradient| gradient.abs().max().into_scalar::<f32>() == 0.0));
        let sigmoid = |logit: f64| 1.0 / (1.0 + (-logit / 4.0).exp());
        let learnt: Vec<f64> = student.grad(&gradients).unwrap().into_data().iter::<f32>().map(f64::from).collect();
        for (gradient, (student, teacher)) in learnt.iter().zip([(0.5, 2.0), (-1.0, 1.0)]) {
            let expected = 4.0 * (sigmoid(student) - sigmoid(teacher)) / 2.0;
            assert!((gradient - expected).abs() < 1e-6, "{gradient} {expected}");
        }
    }
}
