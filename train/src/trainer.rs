//! One step after the other, whatever the objective.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use mbsd_net::Mbsd;

use crate::TrainError;
use crate::optim::{Optimizer, Schedule, global_norm};

/// A model in training.
#[derive(Debug)]
pub struct Trainer {
    model: Option<Mbsd>,
    /// Moments of the gradients.
    pub optimizer: Optimizer,
    schedule: Schedule,
    /// Steps taken.
    pub step: usize,
}

/// What a step did.
#[derive(Debug, Clone, Copy)]
pub struct StepReport {
    /// The loss before the step.
    pub loss: f64,
    /// The global norm of the gradients before clipping.
    pub gradient_norm: f64,
    /// The rate used.
    pub learning_rate: f64,
}

impl Trainer {
    /// Continues after `step` steps; 0 starts.
    pub fn new(model: Mbsd, optimizer: Optimizer, schedule: Schedule, step: usize) -> Self {
        Self { model: Some(model), optimizer, schedule, step }
    }

    /// The model as it is now.
    pub fn model(&self) -> &Mbsd {
        self.model.as_ref().expect("only `step` takes the model, and it puts it back")
    }

    /// Takes a step down the gradient of `loss`, `[1]`. `products` are the batch's, for the message if it diverges; the
    /// model is then as it was.
    ///
    /// # Errors
    /// [`TrainError::Diverged`] if the loss or a gradient is not finite.
    pub fn step(&mut self, loss: Tensor<1>, products: &[String]) -> Result<StepReport, TrainError> {
        let step = self.step + 1;
        let diverged = |what| TrainError::Diverged { what, step, products: products.join(", ") };
        let value = f64::from(loss.clone().into_scalar::<f32>());
        if !value.is_finite() {
            return Err(diverged("the loss"));
        }
        let gradients = GradientsParams::from_grads(loss.backward(), self.model());
        let gradient_norm = global_norm(self.model(), &gradients);
        if !gradient_norm.is_finite() {
            return Err(diverged("the norm of the gradients"));
        }
        let learning_rate = self.schedule.rate(self.step);
        // Taken out, so that the optimizer owns the only copy and updates it in place.
        if let Some(model) = self.model.take() {
            self.model = Some(self.optimizer.step(learning_rate, model, gradients, gradient_norm));
        }
        self.step = step;
        Ok(StepReport { loss: value, gradient_norm, learning_rate })
    }
}

/// Draws every weight that is still to be drawn, in the order of the fields, so that a seed decides them all.
pub fn initialized(model: Mbsd) -> Mbsd {
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
    use mbsd_net::Head;
    use mbsd_spec::Config;

    use super::*;
    use crate::run::OptimizerSettings;

    #[test]
    fn a_loss_that_is_no_number_stops_with_the_batch_named() {
        let config =
            Config { vocab_size: 8, hidden_size: 8, num_hidden_layers: 1, intermediate_size: 8, ..Config::base() };
        let config = Config { num_attention_heads: 2, max_position_embeddings: 8, ..config };
        let device = Device::flex().autodiff();
        let model = initialized(Mbsd::init(&config, Head::Match, &device));
        let optimizer = Optimizer::new(&OptimizerSettings::default(), &model);
        let mut trainer = Trainer::new(model, optimizer, Schedule::new(1e-3, 0.1, 10), 6);
        for (loss, what) in [(f32::NAN, "the loss"), (f32::INFINITY, "the loss")] {
            let bias = trainer.model().classifier.bias.as_ref().unwrap().val();
            let error = trainer.step(bias.sum() * loss, &["p1".to_owned(), "p2".to_owned()]).unwrap_err();
            assert!(error.to_string().starts_with(&format!("{what} is not a finite number at step 7")), "{error}");
            assert!(error.to_string().contains("p1, p2"), "{error}");
        }
        assert_eq!(trainer.step, 6);
        let bias = trainer.model().classifier.bias.as_ref().unwrap().val();
        trainer.step(bias.sum(), &[]).unwrap();
        assert_eq!(trainer.step, 7);
    }
}
