//! The modules that go to ONNX and back, small enough for their graphs to lie in the repository.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};
use mbsd_export::{Graph, Inputs, Output, mbsd};
use mbsd_net::baselines::{FashionBert, PatchPixels, ResNetSize, Vilt};
use mbsd_net::{Head, ImageInput, Mbsd};
use mbsd_spec::config::Patchify;
use mbsd_spec::{Config, Variant};
use mbsd_tests::models::noise;

pub(crate) fn config() -> Config {
    Config {
        hidden_size: 16,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 24,
        vocab_size: 29,
        max_position_embeddings: 11,
        image_size: 32,
        patch_size: 16,
        patchify: Patchify::Linear,
        ..Config::base()
    }
}

/// Fills parameters one after another with numbers that are the same everywhere.
struct Numbered(u64);

impl ModuleMapper for Numbered {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.0 += 1;
        let seed = self.0;
        param.map(|tensor| {
            let shape = tensor.dims();
            // Scales and variances among the vectors are to be about 1.
            let middle = if D == 1 { 1.0 } else { 0.0 };
            let values = noise(shape.iter().product(), seed).into_iter().map(|value| middle + 0.25 * value).collect();
            Tensor::from_data(TensorData::new::<f32, _>(values, shape), &tensor.device())
        })
    }
}

fn numbered<M: Module>(module: M) -> M {
    module.map(&mut Numbered(0))
}

/// Text and image through BERT; text and image before pre-LN layers; a ResNet with normalizations in its convolutions.
pub(crate) fn all() -> Vec<(&'static str, Graph)> {
    let (config, device) = (config(), Device::flex());
    let mbsd = numbered(Mbsd::init(&config, Head::Match, &device));
    let vilt = numbered(Vilt::init(&config, 3, &device));
    let resnet = ResNetSize { width: 2, blocks: [1, 1, 1, 1] };
    let fashion = numbered(FashionBert::init(&config, resnet, PatchPixels::Native, 3, &device));
    let images = |inputs: &Inputs| ImageInput { pixel_values: inputs.float("pixel_values"), present: None };
    let both = mbsd::inputs(&config, true, true);
    let vilt = both.compile(&vilt, |vilt, inputs| {
        vec![Output::new("logits", vilt.logits(mbsd::text_input(inputs), images(inputs)))]
    });
    let fashion = both.compile(&fashion, |fashion, inputs| {
        vec![Output::new("logits", fashion.logits(mbsd::text_input(inputs), images(inputs)))]
    });
    vec![
        ("mbsd_full", mbsd::compile(&mbsd, &config, Variant::Full).unwrap()),
        ("mbsd_text", mbsd::compile(&mbsd, &config, Variant::Text).unwrap()),
        ("vilt", vilt.unwrap()),
        ("fashionbert", fashion.unwrap()),
    ]
}
