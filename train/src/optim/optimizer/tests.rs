//! The groups of parameters, and their moments.

use burn::module::Param;
use mbsd_net::weights::visit_parameters;
use mbsd_net::{Head, ImageInput, Mbsd, TextInput};
use mbsd_spec::Config;

use super::*;

fn small() -> Config {
    Config {
        vocab_size: 20,
        hidden_size: 8,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        intermediate_size: 16,
        max_position_embeddings: 8,
        image_size: 32,
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        ..Config::base()
    }
}

fn gradients(model: &Mbsd, device: &Device) -> GradientsParams {
    let text =
        TextInput { input_ids: Tensor::from_data([[2, 5, 3]], device), attention_mask: None, token_type_ids: None };
    let loss = model.match_logits(model.encode(Some(text), None).pooled).sum();
    GradientsParams::from_grads(loss.backward(), model)
}

fn values<const D: usize>(param: &Param<Tensor<D>>) -> Vec<f32> {
    param.val().into_data().iter::<f32>().collect()
}

#[test]
fn biases_have_no_decay_and_what_has_no_gradient_stays() {
    let device = Device::flex().autodiff();
    let before = crate::trainer::initialized(Mbsd::init(&small(), Head::Match, &device));
    let with = |weight_decay: f64| {
        let model = before.clone();
        let settings = OptimizerSettings { weight_decay, learning_rate: 0.1, ..OptimizerSettings::default() };
        let (mut optimizer, gradients) =
            (Optimizer::new(&settings, visit_parameters(&model)), gradients(&model, &device));
        let norm = global_norm(&model, &gradients);
        optimizer.step(0.1, model, gradients, norm)
    };
    let (decayed, plain) = (with(0.5), with(0.0));
    assert_ne!(values(&decayed.pooler.dense.weight), values(&plain.pooler.dense.weight));
    let bias = |model: &Mbsd| values(model.pooler.dense.bias.as_ref().unwrap());
    assert_eq!(bias(&decayed), bias(&plain));
    assert_ne!(bias(&decayed), bias(&before));
    let kernel = |model: &Mbsd| values(&model.image.patchify[0].convolution.weight);
    assert_eq!(kernel(&decayed), kernel(&before), "the batch had no image");
}

#[test]
fn vectors_that_start_at_0_move() {
    let device = Device::flex().autodiff();
    let settings = OptimizerSettings { clip_norm: 0.0, ..OptimizerSettings::default() };
    assert_eq!(settings.name, OptimizerName::Lamb);
    let mut model = crate::trainer::initialized(Mbsd::init(&small(), Head::Match, &device));
    let mut optimizer = Optimizer::new(&settings, visit_parameters(&model));
    let pixels = Tensor::<4>::random([1, 3, 32, 32], burn::tensor::Distribution::Default, &device);
    for _ in 0..50 {
        let image = ImageInput { pixel_values: pixels.clone(), present: None };
        let loss = model.match_logits(model.encode(None, Some(image)).pooled).sum();
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(1e-2, model, gradients, 0.0);
    }
    // A trust ratio would hold them to the length of their first step, 1e-2 an element.
    for (name, values) in [("cls", values(&model.image.cls)), ("position", values(&model.image.position))] {
        let farthest = values.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
        assert!(farthest > 0.05, "{name}: {farthest}");
    }
}

#[test]
fn clipping_scales_all_gradients_by_their_common_norm() {
    let device = Device::flex().autodiff();
    let model = crate::trainer::initialized(Mbsd::init(&small(), Head::Match, &device));
    let all = gradients(&model, &device);
    let norm = global_norm(&model, &all);
    let mut sum = 0.0;
    for parameter in visit_parameters(&model) {
        let squares = |values: Vec<f32>| values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
        let flat = |data: TensorData| data.iter::<f32>().collect::<Vec<_>>();
        sum += match parameter.shape.len() {
            1 => all.get::<1>(parameter.id).map_or(0.0, |g| squares(flat(g.into_data()))),
            2 => all.get::<2>(parameter.id).map_or(0.0, |g| squares(flat(g.into_data()))),
            _ => 0.0,
        };
    }
    assert!((norm - sum.sqrt()).abs() < 1e-5 * norm, "{norm} {}", sum.sqrt());
}

#[test]
fn moments_survive_a_file() {
    let device = Device::flex().autodiff();
    let settings = OptimizerSettings { learning_rate: 0.1, ..OptimizerSettings::default() };
    let model = crate::trainer::initialized(Mbsd::init(&small(), Head::Match, &device));
    let mut optimizer = Optimizer::new(&settings, visit_parameters(&model));
    let gradients_of = |model: &Mbsd| gradients(model, &device);
    let first = gradients_of(&model);
    let model = optimizer.step(0.1, model, first, 0.0);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("optimizer.safetensors");
    optimizer.save(&path).unwrap();
    let mut restored = Optimizer::new(&settings, visit_parameters(&model));
    restored.load(&path, visit_parameters(&model), &Device::flex()).unwrap();
    let (one, other) = (gradients_of(&model), gradients_of(&model));
    let continued = optimizer.step(0.1, model.clone(), one, 0.0);
    let resumed = restored.step(0.1, model, other, 0.0);
    assert_eq!(values(&continued.pooler.dense.weight), values(&resumed.pooler.dense.weight));
    assert_eq!(values(&continued.embeddings.word.weight), values(&resumed.embeddings.word.weight));
}
