//! One step after the other, whatever the objective.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Tensor;

use crate::TrainError;
use crate::optim::{Optimizer, Schedule, global_norm};

/// A model in training.
pub struct Trainer<M: Module> {
    model: Option<M>,
    /// Moments of the gradients.
    pub optimizer: Optimizer,
    schedule: Schedule,
    /// Steps taken.
    pub step: usize,
    accumulator: GradientsAccumulator<M>,
    loss: f64,
    /// Ids of the products of the accumulated batches.
    products: Vec<String>,
}

impl<M: Module> std::fmt::Debug for Trainer<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trainer").field("optimizer", &self.optimizer).field("step", &self.step).finish_non_exhaustive()
    }
}

/// What a step did.
#[derive(Debug, Clone, Copy)]
pub struct StepReport {
    /// The loss of its batches together, before the step.
    pub loss: f64,
    /// The global norm of the gradients before clipping.
    pub gradient_norm: f64,
    /// The rate used.
    pub learning_rate: f64,
}

impl<M: Module> Trainer<M> {
    /// Continues after `step` steps; 0 starts.
    pub fn new(model: M, optimizer: Optimizer, schedule: Schedule, step: usize) -> Self {
        let accumulator = GradientsAccumulator::new();
        Self { model: Some(model), optimizer, schedule, step, accumulator, loss: 0.0, products: Vec::new() }
    }

    /// The model as it is now.
    pub fn model(&self) -> &M {
        self.model.as_ref().expect("only `step` takes the model, and it puts it back")
    }

    /// Adds the gradients of a batch to those of the next step; [`Trainer::step`] takes it. `loss` is the batch's share of the
    /// step's, and `products` are the batch's, for the message if that diverges; the model is then as it was.
    ///
    /// # Errors
    /// [`TrainError::Diverged`] if the loss is not finite.
    pub fn add(&mut self, loss: f64, gradients: GradientsParams, products: &[String]) -> Result<(), TrainError> {
        if !loss.is_finite() {
            return Err(self.diverged("the loss", products.to_vec()));
        }
        self.products.extend_from_slice(products);
        if let Some(model) = &self.model {
            self.accumulator.accumulate(model, gradients);
        }
        self.loss += loss;
        Ok(())
    }

    /// Takes a step down the sum of the gradients added since the last one.
    ///
    /// # Errors
    /// [`TrainError::Diverged`] if a gradient is not finite.
    pub fn step(&mut self) -> Result<StepReport, TrainError> {
        let gradients = self.accumulator.grads();
        let loss = std::mem::take(&mut self.loss);
        let products = std::mem::take(&mut self.products);
        let gradient_norm = global_norm(self.model(), &gradients);
        if !gradient_norm.is_finite() {
            return Err(self.diverged("the norm of the gradients", products));
        }
        let learning_rate = self.schedule.rate(self.step);
        // Taken out, so that the optimizer owns the only copy and updates it in place.
        if let Some(model) = self.model.take() {
            self.model = Some(self.optimizer.step(learning_rate, model, gradients, gradient_norm));
        }
        self.step += 1;
        Ok(StepReport { loss, gradient_norm, learning_rate })
    }

    fn diverged(&self, what: &'static str, products: Vec<String>) -> TrainError {
        TrainError::Diverged { what, step: self.step + 1, products }
    }
}

/// Draws every weight that is still to be drawn, in the order of the fields, so that a seed decides them all.
pub fn initialized<M: Module>(model: M) -> M {
    struct Touch;
    impl ModuleVisitor for Touch {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let _ = param.val();
        }
    }
    model.visit(&mut Touch);
    model
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use mbsd_net::weights::visit_parameters;
    use mbsd_net::{Head, Mbsd};
    use mbsd_spec::Config;

    use super::*;
    use crate::run::OptimizerSettings;

    fn add(trainer: &mut Trainer<Mbsd>, loss: Tensor<1>, products: &[String]) -> Result<(), TrainError> {
        let value = f64::from(loss.clone().into_scalar::<f32>());
        let gradients = GradientsParams::from_grads(loss.backward(), trainer.model());
        trainer.add(value, gradients, products)
    }

    #[test]
    fn a_loss_that_is_no_number_stops_with_the_batch_named() {
        let config =
            Config { vocab_size: 8, hidden_size: 8, num_hidden_layers: 1, intermediate_size: 8, ..Config::base() };
        let config = Config { num_attention_heads: 2, max_position_embeddings: 8, ..config };
        let device = Device::flex().autodiff();
        let model = initialized(Mbsd::init(&config, Head::Match, &device));
        let optimizer = Optimizer::new(&OptimizerSettings::default(), visit_parameters(&model));
        let mut trainer = Trainer::new(model, optimizer, Schedule::new(1e-3, 0.1, 10), 6);
        for (loss, what) in [(f32::NAN, "the loss"), (f32::INFINITY, "the loss")] {
            let bias = trainer.model().classifier.bias.as_ref().unwrap().val();
            let error = add(&mut trainer, bias.sum() * loss, &["p1".to_owned(), "p2".to_owned()]).unwrap_err();
            assert!(error.to_string().starts_with(&format!("{what} is not a finite number at step 7")), "{error}");
            assert!(error.to_string().contains("p1, p2"), "{error}");
        }
        assert_eq!(trainer.step, 6);
        let bias = trainer.model().classifier.bias.as_ref().unwrap().val();
        add(&mut trainer, bias.sum(), &[]).unwrap();
        trainer.step().unwrap();
        assert_eq!(trainer.step, 7);
    }

    #[test]
    fn the_gradients_of_several_batches_make_one_step() {
        let config =
            Config { vocab_size: 8, hidden_size: 8, num_hidden_layers: 1, intermediate_size: 8, ..Config::base() };
        let config = Config { num_attention_heads: 2, max_position_embeddings: 8, ..config };
        let device = Device::flex().autodiff();
        let model = initialized(Mbsd::init(&config, Head::Match, &device));
        let settings = OptimizerSettings { clip_norm: 0.5, ..OptimizerSettings::default() };
        let trainer = || {
            Trainer::new(
                model.clone(),
                Optimizer::new(&settings, visit_parameters(&model)),
                Schedule::new(1e-2, 0.5, 10),
                3,
            )
        };
        let weight = |trainer: &Trainer<Mbsd>| trainer.model().classifier.weight.val();
        let after = |losses: &[f64]| {
            let mut trainer = trainer();
            for &factor in losses {
                let loss = weight(&trainer).square().sum() * factor;
                add(&mut trainer, loss, &[]).unwrap();
            }
            let report = trainer.step().unwrap();
            let values: Vec<f32> = weight(&trainer).into_data().iter::<f32>().collect();
            (values, report.loss, report.gradient_norm)
        };
        let (one, together) = (after(&[200.0]), after(&[50.0, 150.0]));
        assert!(one.0.iter().zip(&together.0).all(|(a, b)| (a - b).abs() < 1e-6), "{one:?} {together:?}");
        assert!((one.1 - together.1).abs() < 1e-5 * one.1 && (one.2 - together.2).abs() < 1e-5 * one.2);
    }
}
