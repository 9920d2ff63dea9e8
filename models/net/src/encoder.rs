//! The post-LN BERT encoder both modalities pass through together.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::activation::softmax;
use burn::tensor::{DType, Tensor};
use mbsd_spec::Config;

use crate::arithmetic::{self, like, single};
use crate::initial::Initial;
use crate::kernels::{self, gelu};
use crate::norm::LayerNorm;

/// `[batch, tokens, inputs]` through a linear map.
///
/// Under automatic differentiation the rows are flattened first: the backward of the batched form multiplies sequence
/// by sequence and takes three times as long on a CPU. Elsewhere the plain form is what runtimes recognise.
pub(crate) fn linear(map: &Linear, input: Tensor<3>) -> Tensor<3> {
    if !input.device().is_autodiff() {
        return arithmetic::linear(map, input);
    }
    let [batch, tokens, inputs] = input.dims();
    let output = arithmetic::linear(map, input.reshape([batch * tokens, inputs]));
    let [_, outputs] = output.dims();
    output.reshape([batch, tokens, outputs])
}

/// Multi-head self-attention with its output projection, residual connection and LayerNorm.
#[derive(Module, Debug)]
pub struct Attention {
    /// Query projection.
    pub query: Linear,
    /// Key projection.
    pub key: Linear,
    /// Value projection.
    pub value: Linear,
    /// Projection of the joined heads.
    pub output: Linear,
    /// LayerNorm over the residual sum.
    pub norm: LayerNorm,
    probability_dropout: Dropout,
    dropout: Dropout,
    heads: usize,
}

impl Attention {
    fn init(config: &Config, initial: Initial) -> Self {
        let projection = || initial.linear(config.hidden_size, config.hidden_size);
        Self {
            query: projection(),
            key: projection(),
            value: projection(),
            output: projection(),
            norm: LayerNorm::init(config.hidden_size, config.layer_norm_eps, initial.device),
            probability_dropout: DropoutConfig::new(config.attention_probs_dropout_prob).init(),
            dropout: DropoutConfig::new(config.hidden_dropout_prob).init(),
            heads: config.num_attention_heads,
        }
    }

    /// What the tokens `asking`, `[batch, asking, hidden]`, make of all tokens, `[batch, tokens, hidden]`.
    fn forward(&self, asking: Tensor<3>, hidden: Tensor<3>, mask: Option<Tensor<4>>) -> Tensor<3> {
        self.finish(self.gather(linear(&self.query, asking.clone()), self.answering(hidden), mask), asking)
    }

    /// [`Attention::forward`] without its residual connection and LayerNorm.
    fn attend(&self, asking: Tensor<3>, hidden: Tensor<3>, mask: Option<Tensor<4>>) -> Tensor<3> {
        let gathered = self.gather(linear(&self.query, asking), self.answering(hidden), mask);
        self.dropout.forward(linear(&self.output, gathered))
    }

    /// What tokens answer with, `[batch, tokens, hidden]`.
    pub(crate) fn answering(&self, hidden: Tensor<3>) -> KeyValue {
        KeyValue { key: linear(&self.key, hidden.clone()), value: linear(&self.value, hidden) }
    }

    /// What each query gathers, `[batch, asking, hidden]`.
    fn gather(&self, query: Tensor<3>, KeyValue { key, value }: KeyValue, mask: Option<Tensor<4>>) -> Tensor<3> {
        let [batch, tokens, width] = key.dims();
        let [_, queries, _] = query.dims();
        // The kernel masks positions for all queries alike.
        let by_position = mask.as_ref().is_none_or(|mask| mask.dims() == [batch, 1, 1, tokens]);
        if by_position && self.uses_kernel(&query) {
            let mask = mask.map(|mask| mask.reshape([batch, tokens]));
            return kernels::attention(query, key, value, mask, self.heads);
        }
        let head_size = width / self.heads;
        let split = |x: Tensor<3>, length| x.reshape([batch, length, self.heads, head_size]);
        let query = split(query, queries).swap_dims(1, 2);
        let key = split(key, tokens).permute([0, 2, 3, 1]);
        let value = split(value, tokens).swap_dims(1, 2);
        let scores = single(query.matmul(key)) / (head_size as f64).sqrt();
        let scores = match mask {
            Some(mask) => scores + mask,
            None => scores,
        };
        let probabilities = self.probabilities(scores, value.dtype());
        probabilities.matmul(value).swap_dims(1, 2).reshape([batch, queries, width])
    }

    /// Whether the fused kernel stands in for the operations of attention.
    pub(crate) fn uses_kernel(&self, query: &Tensor<3>) -> bool {
        self.probability_dropout.prob == 0.0 && kernels::apply(query)
    }

    /// Scores, softmaxed over the last of four axes, in the type of the values they weigh.
    pub(crate) fn probabilities(&self, scores: Tensor<4>, dtype: DType) -> Tensor<4> {
        like(self.probability_dropout.forward(softmax(scores, 3)), dtype)
    }

    /// How many heads there are.
    pub(crate) fn heads(&self) -> usize {
        self.heads
    }

    /// The output projection of what was gathered, with its residual connection to what asked and LayerNorm.
    pub(crate) fn finish(&self, gathered: Tensor<3>, asking: Tensor<3>) -> Tensor<3> {
        self.norm.forward_sum(self.dropout.forward(linear(&self.output, gathered)), asking)
    }
}

/// What tokens answer a query with, `[batch, tokens, hidden]` each.
#[derive(Debug, Clone)]
pub struct KeyValue {
    /// Projected keys, all heads side by side.
    pub key: Tensor<3>,
    /// Projected values, all heads side by side.
    pub value: Tensor<3>,
}

/// One encoder layer: attention, then the feed-forward network.
#[derive(Module, Debug)]
pub struct Layer {
    /// Attention and what follows it up to its LayerNorm.
    pub attention: Attention,
    /// Feed-forward, hidden to inner width; exact GELU follows.
    pub intermediate: Linear,
    /// Feed-forward, inner to hidden width.
    pub output: Linear,
    /// LayerNorm over the residual sum.
    pub norm: LayerNorm,
    dropout: Dropout,
}

impl Layer {
    fn init(config: &Config, initial: Initial) -> Self {
        Self {
            attention: Attention::init(config, initial),
            intermediate: initial.linear(config.hidden_size, config.intermediate_size),
            output: initial.linear(config.intermediate_size, config.hidden_size),
            norm: LayerNorm::init(config.hidden_size, config.layer_norm_eps, initial.device),
            dropout: DropoutConfig::new(config.hidden_dropout_prob).init(),
        }
    }

    /// `[batch, tokens, hidden]` to the same; `mask` is added to the scores and broadcasts to
    /// `[batch, heads, tokens, tokens]`.
    pub fn forward(&self, hidden: Tensor<3>, mask: Option<Tensor<4>>) -> Tensor<3> {
        self.feed_forward(self.attention.forward(hidden.clone(), hidden, mask))
    }

    /// The first token of [`Layer::forward`] alone, `[batch, 1, hidden]`: the others are only attended to.
    pub fn forward_first(&self, hidden: Tensor<3>, mask: Option<Tensor<4>>) -> Tensor<3> {
        self.feed_forward(self.attention.forward(hidden.clone().narrow(1, 0, 1), hidden, mask))
    }

    /// As [`Layer::forward`], from what all tokens answer with.
    pub(crate) fn forward_from(&self, hidden: Tensor<3>, answers: KeyValue, mask: Option<Tensor<4>>) -> Tensor<3> {
        let query = linear(&self.attention.query, hidden.clone());
        self.feed_forward(self.attention.finish(self.attention.gather(query, answers, mask), hidden))
    }

    pub(crate) fn feed_forward(&self, hidden: Tensor<3>) -> Tensor<3> {
        self.norm.forward_sum(self.widen(hidden.clone()), hidden)
    }

    /// The layer with its LayerNorms before attention and feed-forward network instead of behind them, for the first
    /// `asking` tokens: `[batch, tokens, hidden]` to `[batch, asking, hidden]`.
    fn forward_pre_norm(&self, hidden: Tensor<3>, mask: Option<Tensor<4>>, asking: usize) -> Tensor<3> {
        let normed = self.attention.norm.forward(hidden.clone());
        let attended = self.attention.attend(normed.clone().narrow(1, 0, asking), normed, mask);
        let hidden = hidden.narrow(1, 0, asking) + attended;
        self.widen(self.norm.forward(hidden.clone())) + hidden
    }

    /// The feed-forward network.
    fn widen(&self, hidden: Tensor<3>) -> Tensor<3> {
        self.dropout.forward(linear(&self.output, gelu(linear(&self.intermediate, hidden))))
    }
}

/// The stack of layers.
#[derive(Module, Debug)]
pub struct Encoder {
    /// Layers, first to last.
    pub layer: Vec<Layer>,
}

impl Encoder {
    pub(crate) fn init(config: &Config, initial: Initial) -> Self {
        Self { layer: (0..config.num_hidden_layers).map(|_| Layer::init(config, initial)).collect() }
    }

    /// `[batch, tokens, hidden]` to the same; for `mask` see [`Layer::forward`].
    pub fn forward(&self, hidden: Tensor<3>, mask: Option<Tensor<4>>) -> Tensor<3> {
        self.layer.iter().fold(hidden, |hidden, layer| layer.forward(hidden, mask.clone()))
    }

    /// The first token of [`Encoder::forward`] alone, `[batch, 1, hidden]`. The last layer is spared the other tokens'
    /// queries and feed-forward network: most of its work.
    pub fn forward_first(&self, hidden: Tensor<3>, mask: Option<Tensor<4>>) -> Tensor<3> {
        match self.layer.split_last() {
            Some((last, before)) => {
                let hidden = before.iter().fold(hidden, |hidden, layer| layer.forward(hidden, mask.clone()));
                last.forward_first(hidden, mask)
            }
            None => hidden.narrow(1, 0, 1),
        }
    }

    /// The first token, `[batch, 1, hidden]`, of layers with their LayerNorms in front; the caller normalises it.
    pub fn forward_first_pre_norm(&self, hidden: Tensor<3>, mask: Option<Tensor<4>>) -> Tensor<3> {
        let count = self.layer.len();
        self.layer.iter().enumerate().fold(hidden, |hidden, (index, layer)| {
            let [_, tokens, _] = hidden.dims();
            layer.forward_pre_norm(hidden, mask.clone(), if index + 1 == count { 1 } else { tokens })
        })
    }
}
