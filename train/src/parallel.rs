//! One batch over several devices: each computes the gradient of its share, and the first adds them up.
//!
//! The weights live on the first device, where the optimizer steps as it would alone; the others are sent a copy for each
//! batch. Nothing can drift apart, and a checkpoint is that of one device. What travels for each batch and further device
//! is the weights one way and their gradients the other.

use std::panic::resume_unwind;
use std::thread;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};

use crate::objective::Losses;

/// A loss and its gradients.
#[derive(Debug)]
pub struct BatchGradients {
    /// The sum of the shares' losses.
    pub loss: f64,
    /// The sum of the shares' gradients, on the first device. A share without a gradient for a parameter that others have (a
    /// modality it lacks) counts as zero.
    pub gradients: GradientsParams,
    /// The terms of the shares' losses, each still where it was computed. Those of one name add up.
    pub terms: Vec<(&'static str, Tensor<1>)>,
}

/// The loss of a whole batch and its gradients, from at most one share for each device: as if the first device had computed
/// them alone, but for the order of sums and for dropout, which each device draws for itself. `share_loss` gives a share's
/// part of the batch's loss, so that the parts add up.
///
/// `devices` have automatic differentiation, and `model` lives on the first. Shares beyond the devices are not computed.
///
/// # Panics
/// Where `share_loss` panics.
pub fn gradients<M, S>(
    model: &M,
    devices: &[Device],
    shares: Vec<S>,
    share_loss: impl Fn(&M, S, &Device) -> Losses + Sync,
) -> BatchGradients
where
    M: Module,
    S: Send,
{
    debug_assert!(shares.len() <= devices.len(), "{} shares for {} devices", shares.len(), devices.len());
    let compute = |model: &M, share: S, device: &Device| {
        let Losses { total, terms } = share_loss(model, share, device);
        let loss = f64::from(total.clone().into_scalar::<f32>());
        Share { loss, terms, gradients: GradientsParams::from_grads(total.backward(), model) }
    };
    let mut work = devices.iter().zip(shares);
    let own = work.next();
    let mut computed: Vec<Share> = thread::scope(|scope| {
        let others: Vec<_> = work
            .map(|(device, share)| {
                let replica = model.clone().fork(device);
                let compute = &compute;
                scope.spawn(move || compute(&replica, share, device))
            })
            .collect();
        // The first device's share needs no copy of the weights, and no thread.
        let own = own.map(|(device, share)| compute(model, share, device));
        let others = others.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        own.into_iter().chain(others).collect()
    });
    let loss = computed.iter().map(|share| share.loss).sum::<f64>();
    let terms = computed.iter_mut().flat_map(|share| std::mem::take(&mut share.terms)).collect();
    let gradients = match <[Share; 1]>::try_from(computed) {
        Ok([share]) => share.gradients,
        Err(shares) => {
            let mut sum = Sum { shares, gradients: GradientsParams::new() };
            model.visit(&mut sum);
            sum.gradients
        }
    };
    BatchGradients { loss, gradients, terms }
}

struct Share {
    loss: f64,
    terms: Vec<(&'static str, Tensor<1>)>,
    gradients: GradientsParams,
}

/// Adds up the shares' gradients on the devices of the parameters.
struct Sum {
    shares: Vec<Share>,
    gradients: GradientsParams,
}

impl ModuleVisitor for Sum {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let device = param.lazy_device().without_autodiff();
        let gradients = self.shares.iter_mut().filter_map(|share| share.gradients.remove::<D>(param.id));
        if let Some(sum) = gradients.map(|gradient| gradient.to_device(&device)).reduce(|sum, gradient| sum + gradient)
        {
            self.gradients.register(param.id, sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;
    use mbsd_net::weights::visit_parameters;
    use mbsd_net::{Head, ImageInput, Mbsd, TextInput};
    use mbsd_spec::Config;

    use super::*;
    use crate::objective::binary_cross_entropy;
    use crate::optim::{Optimizer, Schedule, global_norm};
    use crate::run::OptimizerSettings;
    use crate::trainer::{Trainer, initialized};

    const TOKENS: usize = 5;
    const ROWS: usize = 7;
    /// Sums are taken in another order.
    const TOLERANCE: f64 = 1e-5;

    /// Without dropout, which each device draws for itself.
    fn config() -> Config {
        Config {
            vocab_size: 20,
            hidden_size: 8,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            intermediate_size: 16,
            max_position_embeddings: 8,
            image_size: 32,
            hidden_dropout_prob: 0.0,
            attention_probs_dropout_prob: 0.0,
            ..Config::base()
        }
    }

    fn model() -> Mbsd {
        Device::flex().seed(5);
        initialized(Mbsd::init_with(&config(), Head::Match, 0.3, &Device::flex().autodiff()))
    }

    /// A step, some of its rows, and which part of all rows these are.
    type Part = (usize, std::ops::Range<usize>, f64);

    /// Some rows of a batch; odd steps have no images.
    fn loss(model: &Mbsd, (step, rows, portion): Part, device: &Device) -> Losses {
        let count = rows.len();
        let ids: Vec<i64> = rows
            .clone()
            .flat_map(|row| (0..TOKENS).map(move |token| ((step + 3 * row + 7 * token) % 20) as i64))
            .collect();
        let pixels: Vec<f32> = rows
            .clone()
            .flat_map(|row| (0..3 * 32 * 32).map(move |pixel| (((step + row * 31 + pixel) % 17) as f32 - 8.0) / 8.0))
            .collect();
        let labels: Vec<f32> = rows.map(|row| ((step + row) % 2) as f32).collect();
        let text = TextInput {
            input_ids: Tensor::from_data(TensorData::new(ids, [count, TOKENS]), device),
            attention_mask: None,
            token_type_ids: None,
        };
        let pixel_values = Tensor::from_data(TensorData::new(pixels, [count, 3, 32, 32]), device);
        let image = (step % 2 == 0).then_some(ImageInput { pixel_values, present: None });
        let labels = Tensor::from_data(TensorData::new(labels, [count]), device);
        let logits = model.match_logits(model.pooled(Some(text), image));
        Losses { total: binary_cross_entropy(logits, labels, 0.1) * portion, terms: Vec::new() }
    }

    #[test]
    fn several_devices_train_as_one_does() {
        const STEPS: usize = 12;
        // Attention does not depend on the biases of keys: their gradients are rounding alone, and the usual epsilon
        // would make full steps of them.
        let settings = OptimizerSettings { learning_rate: 1e-3, epsilon: 1e-3, ..OptimizerSettings::default() };
        let device = Device::flex().autodiff();
        let schedule = || Schedule::new(settings.learning_rate, 0.1, STEPS);
        let start = model();
        let mut alone = Trainer::new(start.clone(), Optimizer::new(&settings, visit_parameters(&start)), schedule(), 0);
        let devices = vec![device.clone(); 3];
        let (mut together, mut optimizer) = (start.clone(), Optimizer::new(&settings, visit_parameters(&start)));
        for step in 0..STEPS {
            let one = vec![(step, 0..ROWS, 1.0)];
            let batch = gradients(alone.model(), std::slice::from_ref(&device), one, loss);
            alone.add(batch.loss, batch.gradients, &[]).unwrap();
            let expected = alone.step().unwrap();
            // Unequal shares, so that a mean of means would be wrong.
            let shares = vec![(step, 0..4, 4.0 / 7.0), (step, 4..6, 2.0 / 7.0), (step, 6..ROWS, 1.0 / 7.0)];
            let batch = gradients(&together, &devices, shares, loss);
            assert!((batch.loss - expected.loss).abs() < TOLERANCE, "{step}: {} {}", batch.loss, expected.loss);
            let norm = global_norm(&together, &batch.gradients);
            let difference = (norm - expected.gradient_norm).abs();
            assert!(difference < TOLERANCE * norm.max(1.0), "{step}: {norm} {}", expected.gradient_norm);
            together = optimizer.step(schedule().rate(step), together, batch.gradients, norm);
        }
    }

    #[test]
    fn a_part_that_one_share_lacks_counts_as_zero() {
        let (model, device) = (model(), Device::flex().autodiff());
        let both = gradients(&model, &vec![device.clone(); 2], vec![(0, 0..2, 0.5), (1, 0..2, 0.5)], loss);
        let image = gradients(&model, std::slice::from_ref(&device), vec![(0, 0..2, 1.0)], loss);
        let text = gradients(&model, &[device], vec![(1, 0..2, 1.0)], loss);
        struct Compare<'a>([&'a GradientsParams; 3], usize);
        impl ModuleVisitor for Compare<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let [both, image, text] = self.0.map(|gradients| gradients.get::<D>(param.id));
                let Some(both) = both else {
                    assert!(image.is_none() && text.is_none());
                    return;
                };
                self.1 += usize::from(text.is_none());
                let image = image.unwrap_or_else(|| both.zeros_like());
                let text = text.unwrap_or_else(|| both.zeros_like());
                let difference = (both - (image + text) / 2.0).abs().max().into_scalar::<f32>();
                assert!(f64::from(difference) < TOLERANCE, "{difference:e}");
            }
        }
        let mut compare = Compare([&both.gradients, &image.gradients, &text.gradients], 0);
        model.visit(&mut compare);
        assert!(compare.1 > 0, "the text share has gradients of the image side");
    }

    #[test]
    fn fewer_shares_than_devices() {
        let (model, device) = (model(), Device::flex().autodiff());
        let alone = loss(&model, (0, 0..1, 1.0), &device).total.into_scalar::<f32>();
        let batch = gradients(&model, &vec![device; 3], vec![(0, 0..1, 1.0)], loss);
        assert!((batch.loss - f64::from(alone)).abs() < TOLERANCE);
    }
}
