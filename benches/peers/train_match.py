"""Trains the PyTorch model from nothing on Fashion Product Images and evaluates it on the fixed match rows.

The recipe the comparison states: 64 px, patch 16, 4 layers x 192, words as tokens, AdamW 5e-4 with warm-up over a tenth
of the steps and linear decay, batch 64, 4 epochs, flips, one modality removed in 20% + 20% of the batches. What it
leaves open is listed in README.md.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

import fashion
from fashion import CLS, PAD, SEP, Products, Rows, Vocabulary
from mbsd_torch import Config, Image, Mbsd, Text

WITHOUT_TEXT = WITHOUT_IMAGE = 0.2
VARIANTS = ("full", "text", "image")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--vocab-size", type=int, default=6000, help="words at most; 6000 make the 3.4M parameters")
    parser.add_argument("--limit", type=int, help="train on so many products only, to try the script")
    parser.add_argument("--json", type=Path, help="also write the results here")
    parser.add_argument("--save", type=Path, help="write the trained weights here, as safetensors")
    return parser.parse_args()


class Assembler:
    """Rows to the model's inputs."""

    def __init__(self, products: Products, tags: list[str], vocabulary: Vocabulary) -> None:
        self.images = torch.from_numpy(products.images)
        self.titles = [vocabulary.encode(title) for title in products.titles]
        self.tags = {tag: vocabulary.encode(tag) for tag in tags}

    def batch(self, rows: Rows, chosen: np.ndarray, variant: str, mirrored: Tensor | None = None) -> tuple:
        """`Text` and `Image` (or `None`). Without the title the tag stays: it is the question."""
        text = self._text([(rows.products[row], rows.tags[row]) for row in chosen], with_title=variant != "image")
        if variant == "text":
            return text, None
        pixels = self.images[rows.products[chosen]].permute(0, 3, 1, 2).float() / 127.5 - 1
        if mirrored is not None:
            pixels = torch.where(mirrored[:, None, None, None], pixels.flip(3), pixels)
        return text, Image(pixels)

    def _text(self, rows: list[tuple[int, str]], with_title: bool) -> Text:
        """`[CLS] tag [SEP] title [SEP]`, padded to the longest; a row without a title ends with its tag."""
        first = [[CLS, *self.tags[tag], SEP] for _, tag in rows]
        titles = [self.titles[product] if with_title else [] for product, _ in rows]
        second = [[*title, SEP] if title else [] for title in titles]
        longest = max(len(a) + len(b) for a, b in zip(first, second))
        padded = [a + b + [PAD] * (longest - len(a) - len(b)) for a, b in zip(first, second)]
        segments = [[0] * len(a) + [1] * len(b) + [0] * (longest - len(a) - len(b)) for a, b in zip(first, second)]
        ids = torch.tensor(padded)
        return Text(ids, (ids != PAD).long(), torch.tensor(segments))


def train(model: Mbsd, assembler: Assembler, products: Products, args: argparse.Namespace) -> dict[str, float]:
    """Trains in place; returns what it took."""
    random = np.random.default_rng(args.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.learning_rate)
    # Which rows are drawn differs from epoch to epoch, how many does not.
    rows_an_epoch = len(fashion.draw_rows(products, np.random.default_rng(0)).tags)
    steps = args.epochs * -(-rows_an_epoch // args.batch)
    warm_up = max(1, round(steps * 0.1))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm_up, (steps - step) / max(1, steps - warm_up))
    )
    model.train()
    samples, seconds, cpu = 0, time.perf_counter(), time.process_time()
    for epoch in range(args.epochs):
        rows = fashion.draw_rows(products, random)
        order = random.permutation(len(rows.tags))
        losses = []
        for start in range(0, len(order), args.batch):
            chosen = order[start : start + args.batch]
            draw = random.random()
            variant = "image" if draw < WITHOUT_TEXT else "text" if draw < WITHOUT_TEXT + WITHOUT_IMAGE else "full"
            mirrored = torch.from_numpy(random.random(len(chosen)) < 0.5)
            logits = model(*assembler.batch(rows, chosen, variant, mirrored))
            loss = F.binary_cross_entropy_with_logits(logits, torch.from_numpy(rows.labels[chosen]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            samples += len(chosen)
            if len(losses) % 50 == 0:
                speed = samples / (time.perf_counter() - seconds)
                print(f"epoch {epoch + 1}  loss {np.mean(losses[-50:]):.4f}  {speed:.0f} samples/s", flush=True)
    seconds, cpu = time.perf_counter() - seconds, time.process_time() - cpu
    return {
        "steps": steps,
        "samples": samples,
        "samples_per_second": samples / seconds,
        "samples_per_cpu_second": samples / cpu,
    }


@torch.no_grad()
def evaluate(model: Mbsd, assembler: Assembler, rows: Rows) -> dict[str, dict[str, float]]:
    """ROC-AUC of all rows and mean of the tags', for each input."""
    model.eval()
    results = {}
    for variant in VARIANTS:
        parts = np.array_split(np.arange(len(rows.tags)), len(rows.tags) // 200 + 1)
        scores = torch.cat([model(*assembler.batch(rows, part, variant)) for part in parts]).numpy()
        mean, tags = fashion.mean_tag_roc_auc(scores, rows)
        accuracy = float(((scores > 0) == (rows.labels == 1)).mean())
        results[variant] = {
            "roc_auc": fashion.roc_auc(scores, rows.labels),
            "tag_roc_auc": mean,
            "tags": tags,
            "accuracy": accuracy,
        }
    return results


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    folder = fashion.data_folder()
    task = fashion.Task.read(folder)
    evaluation = folder / "match-eval-small.parquet"
    different = fashion.different_titles(evaluation, folder / "small-60x80" / "test.parquet", task)
    if different:
        raise SystemExit(f"{different} evaluation titles are not what redaction makes of the test split's")

    products = fashion.read_products(folder / "small-60x80" / "train.parquet", task, side=64)
    if args.limit:
        products = Products(products.titles[: args.limit], products.images[: args.limit], products.values[: args.limit])
    vocabulary = Vocabulary(products.titles, task.tags, args.vocab_size)
    model = Mbsd(Config.small(vocab_size=len(vocabulary.ids), dropout=args.dropout))
    report = {key: value for key, value in vars(args).items() if key not in ("json", "save")}
    report |= {
        "parameters": sum(p.numel() for p in model.parameters()),
        "vocabulary": len(vocabulary.ids),
        "torch": torch.__version__,
    }
    print(json.dumps(report), flush=True)
    report |= train(model, Assembler(products, task.tags, vocabulary), products, args)
    if args.save:
        save_file(model.state_dict(), args.save)

    evaluated, rows = fashion.read_evaluation(evaluation, side=64)
    report["evaluation"] = evaluate(model, Assembler(evaluated, task.tags, vocabulary), rows)
    print(json.dumps(report, indent=1))
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
