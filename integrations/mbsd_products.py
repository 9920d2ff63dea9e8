"""Products to tensors, and logits to scores: what every client of an exported MBSD model does, whoever runs the graphs.

Needs numpy, tokenizers and Pillow. A folder with `config.json`, `tokenizer.json` and `preprocessor_config.json`, as
`mbsd export --layout hf` and `--layout triton` write it, says everything about the model.
"""

import json
import os

import numpy as np
from PIL import Image, ImageOps
from tokenizers import Tokenizer

# Products whose pictures are held at a time.
WINDOW = 64


class Inputs:
    """Makes the inputs of a model's graphs."""

    def __init__(self, folder):
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            self.config = json.load(file)
        with open(os.path.join(folder, "preprocessor_config.json"), encoding="utf-8") as file:
            self.pixels_config = json.load(file)
        model = self.config["mbsd"]
        self.task = model["task"]
        self.graphs = model["graphs"]
        self.max_tokens = model["max_text_tokens"]
        self.tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        # "[SEP]" typed into a title is letters and brackets, not the end of the title.
        self.tokenizer.encode_special_tokens = True
        self.pad, self.cls, self.sep = (self.tokenizer.token_to_id(t) for t in ("[PAD]", "[CLS]", "[SEP]"))

    def ids(self, text):
        """Token ids of a string, without special tokens."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def row(self, title, tag=None):
        """Token ids and segments of `[CLS] title [SEP]`, `[CLS] tag [SEP] title [SEP]` or `[CLS] tag [SEP]`."""
        title = self.ids(title) if title else None
        if tag is None:
            ids = [self.cls, *(title or [])[: self.max_tokens - 2], self.sep]
            return ids, [0] * len(ids)
        first = [self.cls, *self.ids(tag), self.sep]
        room = self.max_tokens - len(first) - (0 if title is None else 1)
        if room < 0:
            raise ValueError(f"the tag {tag!r} takes {len(first)} tokens, over the limit of {self.max_tokens}")
        second = [] if title is None else [*title[:room], self.sep]
        return first + second, [0] * len(first) + [1] * len(second)

    def text(self, rows, pad_to=None):
        """Rows as `[batch, text]` arrays, padded to the longest, or to the smallest of the lengths `pad_to` that holds it."""
        longest = max(len(ids) for ids, _ in rows)
        width = next((length for length in sorted(pad_to or []) if length >= longest), longest)
        shape = (len(rows), width)
        arrays = {
            "input_ids": np.full(shape, self.pad, np.int64),
            "attention_mask": np.zeros(shape, np.int64),
            "token_type_ids": np.zeros(shape, np.int64),
        }
        for index, (ids, segments) in enumerate(rows):
            arrays["input_ids"][index, : len(ids)] = ids
            arrays["attention_mask"][index, : len(ids)] = 1
            arrays["token_type_ids"][index, : len(ids)] = segments
        return arrays

    def pixels(self, path):
        """One image file as `[3, height, width]`: upright, transparency over white, squashed, normalised."""
        config = self.pixels_config
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            image = image.convert("RGB")
        size = config["size"]
        image = image.resize((size["width"], size["height"]), Image.Resampling(config["resample"]))
        values = np.asarray(image, np.float64) * config["rescale_factor"]
        values = (values - config["image_mean"]) / config["image_std"]
        return np.ascontiguousarray(values.transpose(2, 0, 1), np.float32)


class Client:
    """Scores products. `run(graph, inputs)` computes the outputs of one graph, by name, from arrays with a batch axis."""

    def __init__(self, folder, run, precision="f32", batch=32, pad_to=None):
        self.inputs = Inputs(folder)
        self.run = run
        self.batch = batch
        self.pad_to = pad_to
        graphs = self.inputs.graphs
        self.graphs = {graph["variant"]: graph for graph in graphs if graph["precision"] == precision}
        if not self.graphs:
            there = ", ".join(sorted({graph["precision"] for graph in graphs}))
            raise ValueError(f"the model has no {precision} graphs; it has: {there}")

    def variant(self, product):
        """The graph that a product takes: by what it has."""
        has_title = bool((product.get("title") or "").strip())
        has_image = bool(product.get("image"))
        if has_title and has_image:
            wanted = ("full", "text", "image")
        elif has_title:
            wanted = ("text",)
        elif has_image:
            wanted = ("image",)
        else:
            raise ValueError(f"product {product['id']!r} has neither title nor image")
        for variant in wanted:
            if variant in self.graphs:
                return variant
        raise ValueError(f"the model has no graph for product {product['id']!r}")

    def encode(self, questions, images=""):
        """Outputs of (product, tag) pairs in their order: a dict of arrays a pair. `tag` is None but for match."""
        by_variant = {}
        for index, (product, _) in enumerate(questions):
            by_variant.setdefault(self.variant(product), []).append(index)
        results = [None] * len(questions)
        pixels = {}
        for variant, indices in by_variant.items():
            graph = self.graphs[variant]
            rows = {}
            if "input_ids" in graph["inputs"]:
                for index in indices:
                    product, tag = questions[index]
                    rows[index] = self.inputs.row(None if variant == "image" else product["title"], tag)
                # Rows of like length together: less padding.
                indices = sorted(indices, key=lambda index: len(rows[index][0]))
            for start in range(0, len(indices), self.batch):
                chunk = indices[start : start + self.batch]
                inputs = self.inputs.text([rows[index] for index in chunk], self.pad_to) if rows else {}
                if "pixel_values" in graph["inputs"]:
                    paths = [os.path.join(images, questions[index][0]["image"]) for index in chunk]
                    pixels.update((path, self.inputs.pixels(path)) for path in set(paths).difference(pixels))
                    inputs["pixel_values"] = np.stack([pixels[path] for path in paths])
                outputs = self.run(graph["name"], inputs)
                for position, index in enumerate(chunk):
                    results[index] = {name: value[position] for name, value in outputs.items()}
        return results

    def encode_all(self, products, images=""):
        """Outputs of every product, without tags."""
        for start in range(0, len(products), WINDOW):
            yield from self.encode([(product, None) for product in products[start : start + WINDOW]], images)

    def tag(self, products, tags, images=""):
        """Of each product the probability of every tag, in the order of the tags."""
        results = []
        # A picture is decoded once for all tags, and not kept for longer than its window of products.
        for start in range(0, len(products), WINDOW):
            window = products[start : start + WINDOW]
            outputs = self.encode([(product, tag) for product in window for tag in tags], images)
            scores = [sigmoid(float(np.reshape(output["logits"], ()))) for output in outputs]
            results.extend(scores[first : first + len(tags)] for first in range(0, len(scores), len(tags)))
        return results

    def classify(self, products, images=""):
        """Of each product the probability of every class, in the order of the classes."""
        return [softmax(output["logits"]) for output in self.encode_all(products, images)]

    def align(self, products, pairs, images=""):
        """Of each pair of ids the probability that both are the same product."""
        vectors = {
            str(product["id"]): output["pooled"] for product, output in zip(products, self.encode_all(products, images))
        }
        scores = []
        for start in range(0, len(pairs), self.batch):
            chunk = pairs[start : start + self.batch]
            source, target = (np.stack([vectors[str(pair[side])] for pair in chunk]) for side in (0, 1))
            logits = self.run(self.graphs["pair"]["name"], {"source": source, "target": target})["logits"]
            scores.extend(sigmoid(float(logit)) for logit in np.reshape(logits, -1))
        return scores


def sigmoid(logit):
    """Probability of a logit."""
    return 1.0 / (1.0 + np.exp(-logit)) if logit >= 0 else np.exp(logit) / (1.0 + np.exp(logit))


def softmax(logits):
    """Probabilities of logits."""
    powers = np.exp(np.asarray(logits, np.float64) - np.max(logits))
    return powers / powers.sum()


def add_arguments(parser):
    """The command line that clients share."""
    parser.add_argument("--input", required=True, help="products: JSON Lines with id, title and image")
    parser.add_argument("--images", help="folder that image paths are relative to [default: that of the input]")
    parser.add_argument("--tags", help="one tag a line (match)")
    parser.add_argument("--pairs", help="JSON Lines with source and target ids (alignment)")
    parser.add_argument("--precision", default="f32", help="arithmetic of the graphs to use [default: f32]")
    parser.add_argument("--output", required=True, help="where to write: JSON Lines")


def main(arguments, client):
    """Answers what the model is for about every product of a file."""
    images = arguments.images if arguments.images is not None else os.path.dirname(arguments.input)
    products = lines(arguments.input)
    task = client.inputs.task
    if task == "match":
        if not arguments.tags:
            raise SystemExit("a match model scores tags: give --tags")
        with open(arguments.tags, encoding="utf-8") as file:
            tags = [line for line in (line.strip() for line in file) if line]
        scored = client.tag(products, tags, images)
        results = [
            {"id": product["id"], "tags": [{"tag": tag, "score": float(score)} for tag, score in zip(tags, scores)]}
            for product, scores in zip(products, scored)
        ]
    elif task == "classification":
        labels = client.inputs.config["id2label"]
        results = []
        for product, scores in zip(products, client.classify(products, images)):
            best = int(np.argmax(scores))
            results.append({"id": product["id"], "label": labels[str(best)], "score": float(scores[best])})
    else:
        if not arguments.pairs:
            raise SystemExit("an alignment model compares products: give --pairs")
        pairs = [(pair["source"], pair["target"]) for pair in lines(arguments.pairs)]
        scored = client.align(products, pairs, images)
        results = [
            {"source": source, "target": target, "score": float(score)}
            for (source, target), score in zip(pairs, scored)
        ]
    with open(arguments.output, "w", encoding="utf-8") as file:
        for result in results:
            file.write(json.dumps(result, ensure_ascii=False) + "\n")


def lines(path):
    """The objects of a JSON Lines file."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]
