"""Fashion Product Images as match rows: does this tag describe this product?

The same rules as `train/src/data`: titles without the words that give a tag away, negatives that are another product's
value of the same attribute.
"""

from __future__ import annotations

import io
import os
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

CONFIG = Path(__file__).parents[2] / "train" / "configs" / "fashion-match.toml"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNK, CLS, SEP, _ = range(len(SPECIAL))


def data_folder() -> Path:
    """`fashion` in the folder that `MBSD_DATA` names."""
    if "MBSD_DATA" not in os.environ:
        raise SystemExit("MBSD_DATA does not name the data folder: see benches/peers/README.md")
    return Path(os.environ["MBSD_DATA"]) / "fashion"


def _normalized(word: str) -> str:
    """As `train/src/data/redact.rs`: lower case, without punctuation around it and a final apostrophe s."""
    word = word.lower()
    inner = [index for index, character in enumerate(word) if character.isalnum()]
    word = word[inner[0] : inner[-1] + 1] if inner else ""
    return word[:-2] if word.endswith(("'s", "\u2019s")) else word


@dataclass(frozen=True)
class Task:
    """What is asked of products: `[match]` of the run file that trains this project's own model."""

    tags: list[str]
    """`Name:value` each."""
    attributes: dict[str, str]
    """From a tag's name to the column of its values."""
    redacted: frozenset[str]
    """Words taken out of titles."""

    @staticmethod
    def read(folder: Path) -> Task:
        settings = tomllib.loads(CONFIG.read_text())["match"]
        tags = (folder / "tags.txt").read_text().splitlines()
        phrases = [tag.split(":", 1)[1] for tag in tags] + settings["redact"]
        words = frozenset(_normalized(word) for phrase in phrases for word in phrase.split())
        return Task(tags, settings["attributes"], words - {""})

    def redact(self, title: str) -> str:
        """The title without the words of the tags' values."""
        return " ".join(word for word in title.split() if _normalized(word) not in self.redacted)


class Vocabulary:
    """Words between blanks, lower-cased, the most frequent first; those of the tags are always in."""

    def __init__(self, titles: Iterable[str], tags: Iterable[str], size: int) -> None:
        counts = Counter(word for title in titles for word in title.lower().split())
        words = dict.fromkeys(SPECIAL + [word for tag in tags for word in tag.lower().split()])
        words |= dict.fromkeys(sorted(counts, key=lambda word: (-counts[word], word)))
        self.ids = {word: index for index, word in enumerate(list(words)[:size])}

    def encode(self, text: str) -> list[int]:
        """Token ids without special tokens."""
        return [self.ids.get(word, UNK) for word in text.lower().split()]


@dataclass
class Products:
    """Products in memory: redacted titles, resized images."""

    titles: list[str]
    images: np.ndarray
    """`[products, height, width, 3]`, uint8."""
    values: list[dict[str, str]]
    """For each product, its value of each attribute for which that is one of the tags."""


def read_products(path: Path, task: Task, side: int) -> Products:
    """Reads products and decodes each image once."""
    table = pq.read_table(path, columns=["title", "image", *task.attributes.values()])
    tags = set(task.tags)
    columns = {name: table[column].to_pylist() for name, column in task.attributes.items()}
    values = [
        {name: column[row] for name, column in columns.items() if f"{name}:{column[row]}" in tags}
        for row in range(table.num_rows)
    ]
    return Products([task.redact(title) for title in table["title"].to_pylist()], _images(table["image"], side), values)


def _images(column: Iterable, side: int) -> np.ndarray:
    images = [Image.open(io.BytesIO(image["bytes"].as_py())).convert("RGB") for image in column]
    return np.stack([np.asarray(image.resize((side, side), Image.Resampling.BICUBIC)) for image in images])


@dataclass
class Rows:
    """Match rows over products."""

    products: np.ndarray
    """Index of the product, `[rows]`."""
    tags: list[str]
    labels: np.ndarray
    """1 where the tag describes the product, `[rows]`, float32."""


def draw_rows(products: Products, random: np.random.Generator) -> Rows:
    """One row a product: a random attribute, with its own value or, by the toss of a coin, another product's.

    Values of other products are drawn by their frequency. A product none of whose values is a tag has no row.
    """
    pools: dict[str, list[str]] = {}
    for values in products.values:
        for name, value in values.items():
            pools.setdefault(name, []).append(value)
    # An attribute of a single value has no negatives.
    usable = {name for name, pool in pools.items() if len(set(pool)) > 1}
    rows: list[tuple[int, str, float]] = []
    for product, values in enumerate(products.values):
        names = [name for name in values if name in usable]
        if not names:
            continue
        name = names[random.integers(len(names))]
        value, label = values[name], float(random.random() < 0.5)
        while not label and value == values[name]:
            value = pools[name][random.integers(len(pools[name]))]
        rows.append((product, f"{name}:{value}", label))
    indices, tags, labels = zip(*rows)
    return Rows(np.array(indices), list(tags), np.array(labels, dtype=np.float32))


def read_evaluation(path: Path, side: int) -> tuple[Products, Rows]:
    """The fixed evaluation rows; their titles are redacted already."""
    table = pq.read_table(path)
    titles, tags = table["title"].to_pylist(), table["tag"].to_pylist()
    products = Products(titles, _images(table["image"], side), [])
    return products, Rows(np.arange(len(titles)), tags, table["label"].to_numpy().astype(np.float32))


def different_titles(evaluation: Path, source: Path, task: Task) -> int:
    """Titles of the evaluation rows that redaction of the source's does not reproduce."""
    source_table = pq.read_table(source, columns=["id", "title"])
    raw = dict(zip(source_table["id"].to_pylist(), source_table["title"].to_pylist()))
    table = pq.read_table(evaluation, columns=["id", "title"])
    pairs = zip(table["id"].to_pylist(), table["title"].to_pylist())
    return sum(task.redact(raw[product]) != title for product, title in pairs)


def roc_auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """The probability that a random positive scores above a random negative, ties counting half."""
    distinct, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    positives = int(labels.sum())
    negatives = len(labels) - positives
    return float((ranks[labels == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def mean_tag_roc_auc(scores: np.ndarray, rows: Rows, least: int = 40) -> tuple[float, int]:
    """Mean over tags with at least so many rows, and both labels, of each tag's own ROC-AUC; and their number."""
    tags = np.array(rows.tags)
    chosen = [tags == tag for tag, count in sorted(Counter(rows.tags).items()) if count >= least]
    areas = [roc_auc(scores[rows_], rows.labels[rows_]) for rows_ in chosen if 0 < rows.labels[rows_].mean() < 1]
    return float(np.mean(areas)), len(areas)
