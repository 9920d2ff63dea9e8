//! The text side: token ids to token vectors.

use std::ops::Range;

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Embedding};
use burn::tensor::{Int, Tensor, s};
use mbsd_spec::Config;
use mbsd_spec::config::SEGMENTS;

use crate::initial::Initial;
use crate::norm::LayerNorm;

/// A batch of tokenized rows.
#[derive(Debug, Clone)]
pub struct TextInput {
    /// Token ids, `[batch, text]`.
    pub input_ids: Tensor<2, Int>,
    /// 1 for a token, 0 for padding, `[batch, text]`. `None` where no row is padded.
    pub attention_mask: Option<Tensor<2, Int>>,
    /// 0 up to and including the first `[SEP]` of a pair, 1 after, `[batch, text]`. `None` for all 0.
    pub token_type_ids: Option<Tensor<2, Int>>,
}

/// Word, position and segment vectors, normalised (paper, section 3.2).
#[derive(Module, Debug)]
pub struct TextEmbeddings {
    /// Word vectors, `[vocabulary, hidden]`.
    pub word: Embedding,
    /// Position vectors, `[positions, hidden]`.
    pub position: Embedding,
    /// Segment vectors, `[2, hidden]`.
    pub segment: Embedding,
    /// LayerNorm over the sum.
    pub norm: LayerNorm,
    dropout: Dropout,
}

impl TextEmbeddings {
    pub(crate) fn init(config: &Config, initial: Initial) -> Self {
        Self {
            word: initial.embedding(config.vocab_size, config.hidden_size),
            position: initial.embedding(config.max_position_embeddings, config.hidden_size),
            segment: initial.embedding(SEGMENTS, config.hidden_size),
            norm: LayerNorm::init(config.hidden_size, config.layer_norm_eps, initial.device),
            dropout: DropoutConfig::new(config.hidden_dropout_prob).init(),
        }
    }

    /// Token vectors, `[batch, text, hidden]`. `text` may not exceed the number of positions.
    pub fn forward(&self, input_ids: Tensor<2, Int>, token_type_ids: Option<Tensor<2, Int>>) -> Tensor<3> {
        let [_, text] = input_ids.dims();
        // Zeros of the ids' own integer width: ids made here would have the device's.
        let token_type_ids = token_type_ids.unwrap_or_else(|| input_ids.zeros_like());
        self.normalized(input_ids, 0..text, || self.segment.forward(token_type_ids))
    }

    /// As [`TextEmbeddings::forward`] for tokens that are all of one segment and stand at positions from `start` on.
    pub(crate) fn forward_at(&self, input_ids: Tensor<2, Int>, segment: usize, start: usize) -> Tensor<3> {
        let [_, text] = input_ids.dims();
        let segment = || self.segment.weight.val().slice(s![segment..segment + 1]).unsqueeze::<3>();
        self.normalized(input_ids, start..start + text, segment)
    }

    fn normalized(
        &self,
        input_ids: Tensor<2, Int>,
        positions: Range<usize>,
        segments: impl FnOnce() -> Tensor<3>,
    ) -> Tensor<3> {
        let positions = self.position.weight.val().slice(s![positions]).unsqueeze::<3>();
        self.dropout.forward(self.norm.forward(self.word.forward(input_ids) + segments() + positions))
    }
}
