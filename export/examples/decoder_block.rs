//! A transformer decoder block: attention over what came before, attention over a memory, a feed-forward part. Batch, target
//! and source length are free, and `batch` is the same in every input.
//!
//! `cargo run -p mbsd-export --example decoder_block [FILE.onnx]`

use burn::module::Module;
use burn::nn::attention::{MhaInput, MultiHeadAttention, MultiHeadAttentionConfig, generate_autoregressive_mask};
use burn::nn::{Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::gelu;
use burn::tensor::{Device, Int, Tensor};
use mbsd_export::{Compiler, Extent, Output, onnx};

/// Positions in the table.
const POSITIONS: usize = 64;

#[derive(Module, Debug)]
struct DecoderBlock {
    tokens: Embedding,
    positions: Embedding,
    attention: MultiHeadAttention,
    attention_norm: LayerNorm,
    memory_attention: MultiHeadAttention,
    memory_norm: LayerNorm,
    inner: Linear,
    outer: Linear,
    output_norm: LayerNorm,
    vocabulary: Linear,
}

impl DecoderBlock {
    fn init(device: &Device) -> Self {
        let (width, words) = (32, 100);
        Self {
            tokens: EmbeddingConfig::new(words, width).init(device),
            positions: EmbeddingConfig::new(POSITIONS, width).init(device),
            attention: MultiHeadAttentionConfig::new(width, 4).init(device),
            attention_norm: LayerNormConfig::new(width).init(device),
            memory_attention: MultiHeadAttentionConfig::new(width, 4).init(device),
            memory_norm: LayerNormConfig::new(width).init(device),
            inner: LinearConfig::new(width, 4 * width).init(device),
            outer: LinearConfig::new(4 * width, width).init(device),
            output_norm: LayerNormConfig::new(width).init(device),
            vocabulary: LinearConfig::new(width, words).init(device),
        }
    }

    /// Logits `[batch, target, words]` of the words after `ids` `[batch, target]`, over `memory` `[batch, source, 32]`
    /// where `memory_mask` `[batch, source]` is 1.
    fn forward(&self, ids: Tensor<2, Int>, memory: Tensor<3>, memory_mask: Tensor<2, Int>) -> Tensor<3> {
        let [batch, target] = ids.dims();
        let positions = Tensor::arange(0..target as i64, &ids.device()).unsqueeze::<2>();
        let x = self.tokens.forward(ids) + self.positions.forward(positions);
        let past = generate_autoregressive_mask(batch, target, &x.device());
        let own = self.attention.forward(MhaInput::self_attn(x.clone()).mask_attn(past)).context;
        let x = self.attention_norm.forward(x + own);
        let read = MhaInput::new(x.clone(), memory.clone(), memory).mask_pad(memory_mask.equal_elem(0));
        let x = self.memory_norm.forward(x + self.memory_attention.forward(read).context);
        let inner = gelu(self.inner.forward(x.clone()));
        self.vocabulary.forward(self.output_norm.forward(x + self.outer.forward(inner)))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "decoder_block.onnx".to_owned());
    let block = DecoderBlock::init(&Device::flex());
    let graph = Compiler::new()
        .int("ids", ["batch".into(), Extent::symbol_up_to("target", POSITIONS)])
        .float("memory", ["batch".into(), "source".into(), 32.into()])
        .int("memory_mask", ["batch".into(), "source".into()])
        .compile(&block, |block, inputs| {
            let (ids, memory, mask) = (inputs.int("ids"), inputs.float("memory"), inputs.int("memory_mask"));
            vec![Output::new("logits", block.forward(ids, memory, mask))]
        })?;
    let bytes = onnx::write(&graph, &path, &Default::default())?;
    println!("{graph}\nwrote {path}, {bytes} bytes");
    Ok(())
}
