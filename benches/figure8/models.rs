//! The models of the figure, by the names they have in it, and the graphs they are cut into. A further one is a line in [`MODELS`].

use anyhow::Result;
use mbsd_export::Graph;
use mbsd_export::compared::{Compared, Part};
use mbsd_net::baselines::{PatchPixels, ResNetSize};
use mbsd_spec::Config;

/// What a part of a model is called in the report.
pub(crate) const IMAGE: &str = "image encoding";
pub(crate) const TRANSFORMER: &str = "transformer";

/// A model of the figure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Model {
    pub(crate) name: &'static str,
    compared: Compared,
    patch_size: usize,
}

/// Every model: MBSD with both sizes of patches, heavy encoders with both readings of the paper. Those without an image graph are last, so
/// that a model has one colour in all plots.
pub(crate) const MODELS: [Model; 9] = [
    Model { name: "MBSD", compared: Compared::Mbsd, patch_size: 32 },
    Model { name: "MBSD, patch 16", compared: Compared::Mbsd, patch_size: 16 },
    Model { name: "ViLT", compared: Compared::Vilt, patch_size: 32 },
    Model { name: "FashionBERT", compared: Compared::FashionBert(PatchPixels::Native), patch_size: 32 },
    Model { name: "FashionBERT, 224", compared: Compared::FashionBert(PatchPixels::RESIZED), patch_size: 32 },
    Model { name: "Kaleido-BERT", compared: Compared::KaleidoBert(PatchPixels::Native), patch_size: 32 },
    Model { name: "Kaleido-BERT, 224", compared: Compared::KaleidoBert(PatchPixels::RESIZED), patch_size: 32 },
    Model { name: "ViT", compared: Compared::Vit, patch_size: 32 },
    Model { name: "BERT", compared: Compared::Bert, patch_size: 32 },
];

impl Model {
    /// Its graphs, with the names of their parts. ViT is one: its patches are a linear map.
    pub(crate) fn graphs(&self, small: bool) -> Result<Vec<(&'static str, Graph)>> {
        let size = if small { ResNetSize { width: 4, blocks: [1; 4] } } else { ResNetSize::RESNET_50 };
        let config = Config { patch_size: self.patch_size, ..if small { narrow() } else { Config::base() } };
        let named = |(part, graph)| (if part == Part::Image { IMAGE } else { TRANSFORMER }, graph);
        Ok(self.compared.graphs(&config, size)?.into_iter().map(named).collect())
    }

    /// Whether images are encoded one by one, each of them being many patches for a large network.
    pub(crate) fn is_heavy(&self) -> bool {
        matches!(self.compared, Compared::FashionBert(_) | Compared::KaleidoBert(_))
    }
}

fn narrow() -> Config {
    Config {
        hidden_size: 64,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        intermediate_size: 128,
        vocab_size: 200,
        ..Config::base()
    }
}
