"""The MBSD model in PyTorch: the peer that this project's own model is compared with.

Modules are named so that `state_dict()` has the released model's names; weights of either side load into the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Task = Literal["match", "classification", "alignment"]


@dataclass(frozen=True)
class Config:
    """Dimensions; the defaults are the paper's base model."""

    vocab_size: int = 21128
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    max_position_embeddings: int = 512
    image_size: int = 224
    patch_size: int = 32
    dropout: float = 0.1
    """Of embeddings, dense outputs and attention weights alike."""
    layer_norm_eps: float = 1e-12
    conv_layer_norm_eps: float = 1e-6

    @property
    def patches(self) -> int:
        """Patches of an image."""
        return (self.image_size // self.patch_size) ** 2

    @staticmethod
    def small(**changes: object) -> Config:
        """The size of `train/configs/fashion-match.toml`."""
        small = dict(vocab_size=6000, hidden_size=192, num_hidden_layers=4, num_attention_heads=4)
        small |= dict(intermediate_size=768, max_position_embeddings=64, image_size=64, patch_size=16)
        return Config(**(small | changes))


@dataclass
class Text:
    """Tokenized rows, `[batch, text]` each."""

    input_ids: Tensor
    attention_mask: Tensor | None = None
    """1 for a token, 0 for padding; `None` where nothing is padded."""
    token_type_ids: Tensor | None = None
    """0 up to and including the first `[SEP]` of a pair, 1 after; `None` for all 0."""


@dataclass
class Image:
    """Preprocessed images."""

    pixel_values: Tensor
    """`[batch, 3, height, width]`."""
    present: Tensor | None = None
    """`[batch]`, 0 for a product without an image; `None` where all have one."""


class TextEmbeddings(nn.Module):
    """Word + position + segment, normalised."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(2, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, text: Text) -> Tensor:
        """`[batch, text, hidden]`."""
        ids = text.input_ids
        segments = torch.zeros_like(ids) if text.token_type_ids is None else text.token_type_ids
        positions = self.position_embeddings.weight[: ids.shape[1]]
        return self.dropout(
            self.LayerNorm(self.word_embeddings(ids) + self.token_type_embeddings(segments) + positions)
        )


class ChannelLayerNorm(nn.LayerNorm):
    """LayerNorm over the channels of `[batch, channels, height, width]`."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class PatchEmbeddings(nn.Module):
    """The patchify CNN: kernels as wide as their strides, so that no pixel is seen twice."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        last = {32: 2, 16: 1}[config.patch_size]
        stages: list[nn.Module] = []
        channels = 3
        for width, size in ((64, 4), (192, 2), (384, 2)):
            stages += [
                nn.Conv2d(channels, width, size, size),
                ChannelLayerNorm(width, config.conv_layer_norm_eps),
                nn.ReLU(),
            ]
            channels = width
        self.projection = nn.Sequential(*stages, nn.Conv2d(channels, config.hidden_size, last, last))

    def forward(self, pixel_values: Tensor) -> Tensor:
        """`[batch, patches, hidden]`, row by row of the image."""
        # Channels last spares the LayerNorms between the convolutions their copies.
        features = self.projection(pixel_values.contiguous(memory_format=torch.channels_last))
        return features.flatten(2).transpose(1, 2)


class ImageEmbeddings(nn.Module):
    """Patches with learned positions behind an image `[CLS]` that has none."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.patch_embeddings = PatchEmbeddings(config)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        self.position_embeddings = nn.Parameter(torch.zeros(1, config.patches, config.hidden_size))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """`[batch, 1 + patches, hidden]`."""
        patches = self.patch_embeddings(pixel_values) + self.position_embeddings
        return self.dropout(torch.cat([self.cls_token.expand(patches.shape[0], -1, -1), patches], dim=1))


class SelfAttention(nn.Module):
    """Query, key, value and their multi-head product."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)
        self.heads = config.num_attention_heads
        self.dropout = config.dropout

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        query, key, value = (
            linear(hidden).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for linear in (self.query, self.key, self.value)
        )
        dropout = self.dropout if self.training else 0.0
        context = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
        return context.transpose(1, 2).flatten(2)


class Output(nn.Module):
    """Dense, dropout, residual connection, LayerNorm: what ends both halves of a layer."""

    def __init__(self, inputs: int, config: Config) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, input: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(input)) + residual)


class Attention(nn.Module):
    """The first half of a layer."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.self = SelfAttention(config)
        self.output = Output(config.hidden_size, config)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        return self.output(self.self(hidden, mask), hidden)


class Intermediate(nn.Module):
    """Feed-forward, inner half."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)

    def forward(self, hidden: Tensor) -> Tensor:
        return F.gelu(self.dense(hidden))


class Layer(nn.Module):
    """A post-LN encoder layer."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.intermediate = Intermediate(config)
        self.output = Output(config.intermediate_size, config)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        hidden = self.attention(hidden, mask)
        return self.output(self.intermediate(hidden), hidden)


class Encoder(nn.Module):
    """The layers both modalities go through together."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        for layer in self.layer:
            hidden = layer(hidden, mask)
        return hidden


class Pooler(nn.Module):
    """tanh(dense(first token))."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        return torch.tanh(self.dense(hidden[:, 0]))


class Bert(nn.Module):
    """Both embeddings, the encoder and the pooler."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.embeddings = TextEmbeddings(config)
        self.img_embeddings = ImageEmbeddings(config)
        self.modality_embeddings = nn.Parameter(torch.zeros(2, config.hidden_size))
        self.encoder = Encoder(config)
        self.pooler = Pooler(config)

    def forward(self, text: Text | None, image: Image | None) -> tuple[Tensor, Tensor]:
        """Every token's vector, `[batch, tokens, hidden]`, and the pooled one, `[batch, hidden]`."""
        tokens: list[Tensor] = []
        visible: list[Tensor | None] = []
        if text is not None:
            tokens.append(self.embeddings(text) + self.modality_embeddings[0])
            visible.append(text.attention_mask)
        if image is not None:
            tokens.append(self.img_embeddings(image.pixel_values) + self.modality_embeddings[1])
            visible.append(None if image.present is None else image.present[:, None])
        mask = attention_mask(tokens, visible)
        hidden = self.encoder(torch.cat(tokens, dim=1), mask)
        return hidden, self.pooler(hidden)


def attention_mask(tokens: list[Tensor], visible: list[Tensor | None]) -> Tensor | None:
    """Joins the sides' masks to `[batch, 1, 1, tokens]`, true where one may look; `None` where nothing is masked."""
    if all(side is None for side in visible):
        return None
    sides = [
        vectors.new_ones(vectors.shape[:2], dtype=torch.bool) if side is None else side.bool().expand(vectors.shape[:2])
        for vectors, side in zip(tokens, visible)
    ]
    return torch.cat(sides, dim=1)[:, None, None]


class Mbsd(nn.Module):
    """MBSD with one task's head: `classifier` for match, `proj` for classification and alignment."""

    def __init__(self, config: Config, task: Task = "match", classes: int = 1) -> None:
        super().__init__()
        self.bert = Bert(config)
        if task == "match":
            self.classifier = nn.Linear(config.hidden_size, 1)
        else:
            self.proj = nn.Linear(2 * config.hidden_size if task == "alignment" else config.hidden_size, classes)
        self.apply(_initialize)
        nn.init.normal_(self.bert.modality_embeddings, std=0.02)

    def pooled(self, text: Text | None = None, image: Image | None = None) -> Tensor:
        """The pooled vector of what a product has, `[batch, hidden]`."""
        return self.bert(text, image)[1]

    def head(self, pooled: Tensor) -> Tensor:
        """The task's linear map; for alignment over `[pooled_source; pooled_target]`."""
        return self.classifier(pooled) if hasattr(self, "classifier") else self.proj(pooled)

    def forward(self, text: Text | None = None, image: Image | None = None) -> Tensor:
        """Logits of match, `[batch]`, or classification, `[batch, classes]`."""
        logits = self.head(self.pooled(text, image))
        return logits.squeeze(1) if hasattr(self, "classifier") else logits

    def pair_logits(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits of alignment over two batches of pooled vectors, `[batch]`."""
        return self.head(torch.cat([source, target], dim=1)).squeeze(1)

    def load(self, path: Path) -> Mbsd:
        """Takes the weights of a safetensors file, which must be exactly the model's."""
        # Here, so that measuring speed asks for PyTorch alone.
        from safetensors.torch import load_file

        self.load_state_dict(load_file(path), strict=True)
        return self


def _initialize(module: nn.Module) -> None:
    """N(0, 0.02) and biases 0; LayerNorms and the image's learned vectors are made with 1, 0 and 0."""
    if isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.zeros_(module.bias)
