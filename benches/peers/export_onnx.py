"""Exports the peer as well as PyTorch can, to compare this project's graphs with.

    python export_onnx.py write FOLDER            # base size: weights and configuration for `mbsd export`, and PyTorch's graphs
    python export_onnx.py compare OURS.onnx THEIRS.onnx...    # operators, and outputs on the same rows
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import onnxsim
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import mbsd_torch
from mbsd_torch import Config, Image, Mbsd, Text

NAMES = ["input_ids", "attention_mask", "token_type_ids", "pixel_values"]


class Full(nn.Module):
    """The full graph of the match task: its inputs and outputs are those of `mbsd export`."""

    def __init__(self, model: Mbsd) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor, pixel_values: Tensor):
        pooled = self.model.pooled(Text(input_ids, attention_mask, token_type_ids), Image(pixel_values))
        return self.model.head(pooled).squeeze(1), pooled


def written_out(self: mbsd_torch.SelfAttention, hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Attention as BERT's first implementations write it; a mask is added to the scores."""
    query, key, value = (
        linear(hidden).unflatten(2, (self.heads, -1)).transpose(1, 2) for linear in (self.query, self.key, self.value)
    )
    scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])
    context = (scores if mask is None else scores + mask).softmax(dim=3) @ value
    return context.transpose(1, 2).flatten(2)


def first_token(self: mbsd_torch.Encoder, hidden: Tensor, mask: Tensor | None) -> Tensor:
    """The last layer for its first token alone, which is all that the pooler reads."""
    for layer in self.layer[:-1]:
        hidden = layer(hidden, mask)
    last, first = self.layer[-1], hidden[:, :1]
    attention = last.attention.self
    query, key, value = (
        linear(tokens).unflatten(2, (attention.heads, -1)).transpose(1, 2)
        for linear, tokens in ((attention.query, first), (attention.key, hidden), (attention.value, hidden))
    )
    scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1]) + mask
    context = (scores.softmax(dim=3) @ value).transpose(1, 2).flatten(2)
    attended = last.attention.output(context, first)
    return last.output(last.intermediate(attended), attended)


def added(tokens: list[Tensor], visible: list[Tensor | None]) -> Tensor | None:
    """As `attention_mask`, to be added to the scores."""
    sides = [
        vectors.new_zeros(vectors.shape[:2]) if side is None else (1.0 - side.to(vectors.dtype)) * -1e4
        for vectors, side in zip(tokens, visible)
    ]
    return torch.cat(sides, dim=1)[:, None, None]


def rows(batch: int, text: int, config: Config) -> dict[str, np.ndarray]:
    """Rows of which every second is padded."""
    random = np.random.default_rng(1)
    mask = np.ones((batch, text), np.int64)
    mask[1::2, text // 2 :] = 0
    side = config.image_size
    return {
        "input_ids": random.integers(0, config.vocab_size, (batch, text)),
        "attention_mask": mask,
        "token_type_ids": np.repeat((np.arange(text) > text // 3)[None], batch, 0).astype(np.int64),
        "pixel_values": random.standard_normal((batch, 3, side, side)).astype(np.float32),
    }


def export(model: Mbsd, config: Config, path: Path) -> None:
    inputs = tuple(torch.from_numpy(value) for value in rows(2, 16, config).values())
    axes: dict[str, dict[int, str]] = {name: {0: "batch", 1: "text"} for name in NAMES[:3]}
    axes |= {name: {0: "batch"} for name in ("pixel_values", "logits", "pooled")}
    torch.onnx.export(
        Full(model),
        inputs,
        str(path),
        opset_version=17,
        do_constant_folding=True,
        input_names=NAMES,
        output_names=["logits", "pooled"],
        dynamic_axes=axes,
    )
    simplified, same = onnxsim.simplify(onnx.load(path))
    assert same, "onnxsim changed what the graph computes"
    onnx.save(simplified, path.with_suffix(".sim.onnx"))


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    config = Config()
    model = Mbsd(config).eval()
    # As trained ones are: a simplifier drops the sum with a bias of 0 and shares equal LayerNorms.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += torch.randn_like(parameter) * 0.02
    save_file(model.state_dict(), folder / "base.safetensors")
    fields = asdict(config)
    dropout = fields.pop("dropout")
    fields |= {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout, "num_channels": 3}
    del fields["conv_layer_norm_eps"]
    (folder / "config.json").write_text(json.dumps(fields, indent=2))
    with torch.no_grad():
        export(model, config, folder / "sdpa.onnx")
        mbsd_torch.SelfAttention.forward = written_out
        mbsd_torch.attention_mask = added
        export(model, config, folder / "written_out.onnx")
        mbsd_torch.Encoder.forward = first_token
        export(model, config, folder / "first_token.onnx")


def session(path: str, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def operators(path: str) -> Counter[str]:
    graph = onnx.load(path, load_external_data=False).graph
    return Counter(node.op_type for node in graph.node if node.op_type != "Constant")


def optimized(path: str) -> Counter[str]:
    """Operators after ONNX Runtime's own optimizations, all of them."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        session(path, options)
        return operators(options.optimized_model_filepath)


def compare(paths: list[str]) -> None:
    inputs = rows(3, 11, Config())
    expected = None
    counts = [operators(path) for path in paths]
    for path, count in zip(paths, counts):
        found = session(path, onnxruntime.SessionOptions()).run(["logits", "pooled"], inputs)
        expected = expected or found
        difference = max(float(np.abs(a - b).max()) for a, b in zip(expected, found))
        after = optimized(path).total()
        print(f"{count.total():5} operators, {after:4} in ONNX Runtime, differs by {difference:.1e}  {path}")
    print(f"{'':20}" + "".join(f"{Path(path).stem:>18}" for path in paths))
    for operator in sorted(set().union(*counts)):
        print(f"{operator:<20}" + "".join(f"{count[operator]:>18}" for count in counts))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["write", folder]:
            write(Path(folder))
        case ["compare", *paths] if paths:
            compare(paths)
        case _:
            sys.exit(__doc__)
