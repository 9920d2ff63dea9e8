"""The peer agrees with the released model's reference cases: `python test_reference.py`.

Cases are read from `MBSD_REFERENCE`, by default the repository's copy.
"""

from __future__ import annotations

import json
import os
import unittest
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from mbsd_torch import Config, Image, Mbsd, Task, Text

FOLDER = Path(os.environ.get("MBSD_REFERENCE", Path(__file__).parents[2] / "tests" / "reference" / "p32"))
# Single precision, other kernels and another order of sums than when the cases were made.
TOLERANCE = 1e-5


def case(name: Task) -> tuple[Mbsd, dict[str, Tensor]]:
    """A case's model, and its inputs and outputs."""
    manifest = json.loads((FOLDER / "manifest.json").read_text())
    config = Config(
        vocab_size=manifest["vocab"],
        hidden_size=manifest["hidden"],
        num_hidden_layers=manifest["layers"],
        num_attention_heads=manifest["heads"],
        intermediate_size=manifest["intermediate"],
        max_position_embeddings=manifest["max_position"],
        image_size=manifest["image"],
        patch_size=manifest["patch"],
        layer_norm_eps=manifest["text_layer_norm_eps"],
        conv_layer_norm_eps=manifest["conv_layer_norm_eps"],
    )
    weights = FOLDER / f"{name}.weights.safetensors"
    classes = 1 if name == "match" else len(load_file(weights)["proj.weight"])
    return Mbsd(config, name, classes).load(weights).eval(), load_file(FOLDER / f"{name}.io.safetensors")


class Reference(unittest.TestCase):
    """Forward passes and losses, in evaluation mode."""

    def check(self, found: Tensor, expected: Tensor, what: str) -> None:
        difference = (found - expected).abs().max().item()
        self.assertEqual(found.shape, expected.shape, what)
        self.assertLessEqual(difference, TOLERANCE * max(1.0, abs(expected.item()) if "loss" in what else 1.0), what)
        print(f"{what:<45} max |difference| {difference:.1e}")

    @torch.no_grad()
    def test_classification(self) -> None:
        model, io = case("classification")
        text = Text(io["input_ids"], io["attention_mask"])
        image = Image(io["pixel_values"])
        for variant, inputs in {"full": (text, image), "text": (text, None), "image": (None, image)}.items():
            hidden, pooled = model.bert(*inputs)
            found = {"last_hidden_state": hidden, "pooled": pooled, "logits": model.head(pooled)}
            for name, tensor in found.items():
                self.check(tensor, io[f"{variant}.{name}"], f"classification {variant} {name}")
        logits = model(text, image)
        self.check(F.cross_entropy(logits, io["labels"]), io["loss"], "classification loss")
        features = model.bert.img_embeddings.patch_embeddings(io["pixel_values"])
        self.check(features, io["patch_features"], "classification patch_features")
        pooled = model.pooled(text, Image(io["pixel_values"], io["image_present"]))
        self.check(pooled, io["image_masked.pooled"], "classification image_masked pooled")
        self.check(model.head(pooled), io["image_masked.logits"], "classification image_masked logits")

    @torch.no_grad()
    def test_match(self) -> None:
        model, io = case("match")
        logits = model(Text(io["input_ids"], io["attention_mask"], io["token_type_ids"]), Image(io["pixel_values"]))
        self.check(logits, io["logits"], "match logits")
        self.check(F.binary_cross_entropy_with_logits(logits, io["labels"]), io["loss"], "match loss")

    @torch.no_grad()
    def test_alignment(self) -> None:
        model, io = case("alignment")
        source, target = (
            model.pooled(Text(io[f"{side}_input_ids"], io[f"{side}_attention_mask"]), Image(io[f"{side}_pixel_values"]))
            for side in ("src", "tgt")
        )
        logits = model.pair_logits(source, target)
        self.check(logits, io["logits"], "alignment logits")
        self.check(F.binary_cross_entropy_with_logits(logits, io["labels"]), io["loss"], "alignment loss")

    def test_the_base_model_has_the_papers_size(self) -> None:
        with torch.device("meta"):
            model = Mbsd(Config())
        self.assertEqual(round(sum(p.numel() for p in model.parameters()) / 1e5), 1038)


if __name__ == "__main__":
    unittest.main()
