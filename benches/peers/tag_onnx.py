"""Tags products as one would write it in Python: tokenizers, Pillow, onnxruntime.

    python tag_onnx.py --bundle BUNDLE --input products.jsonl --tags tags.txt --mode usual|tuned [--int8] --json

`usual`: rows padded to the longest text the model takes, 32 a batch, ONNX Runtime as it comes. `tuned`: rows of a window of products sorted by
length and padded to the longest of their batch, 32 a batch, one thread a core, the arena of ONNX Runtime; with `--int8` a graph made by
`quantize_dynamic`. In both a picture is prepared once a product, beside the model's work, and a tag is tokenized once. Prints products/s, the time
to load left out.
"""

import argparse
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
from PIL import Image
from tokenizers import Tokenizer

BATCH = 32
# Products whose rows are sorted together.
WINDOW = 26


class Pipeline:
    """A bundle's full graph, its tokenizer and its preprocessing."""

    def __init__(self, bundle, mode, int8):
        with open(os.path.join(bundle, "manifest.json"), encoding="utf-8") as file:
            self.longest = json.load(file)["max_text_tokens"]
        with open(os.path.join(bundle, "preprocessor_config.json"), encoding="utf-8") as file:
            self.size = json.load(file)["size"]
        self.tokenizer = Tokenizer.from_file(os.path.join(bundle, "tokenizer.json"))
        self.tokenizer.enable_truncation(self.longest, strategy="only_second")
        graph = os.path.join(bundle, "onnx", "full.onnx")
        if int8:
            graph = quantized(graph)
        options = onnxruntime.SessionOptions()
        if mode == "tuned":
            options.intra_op_num_threads = os.cpu_count()
        else:
            self.tokenizer.enable_padding(length=self.longest)
        self.tuned = mode == "tuned"
        self.session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def pixels(self, path):
        with Image.open(path) as file:
            image = file.convert("RGB").resize((self.size["width"], self.size["height"]), Image.Resampling.BICUBIC)
        return ((np.asarray(image, np.float32) / 255 - 0.5) / 0.5).transpose(2, 0, 1)

    def tag(self, products, tags, folder):
        """Scores of every tag of every product."""
        scores = []
        with ThreadPoolExecutor(2) as pool:
            pictures = pool.map(lambda product: self.pixels(os.path.join(folder, product["image"])), products)
            for start in range(0, len(products), WINDOW):
                window = products[start : start + WINDOW]
                pixels = [next(pictures) for _ in window]
                rows = self.tokenizer.encode_batch([(tag, product["title"]) for product in window for tag in tags])
                order = list(range(len(rows)))
                if self.tuned:
                    order.sort(key=lambda row: len(rows[row].ids))
                own = np.empty(len(rows), np.float32)
                for first in range(0, len(order), BATCH):
                    batch = order[first : first + BATCH]
                    own[batch] = self.run([rows[row] for row in batch], [pixels[row // len(tags)] for row in batch])
                scores.append(own.reshape(len(window), len(tags)))
        return 1 / (1 + np.exp(-np.concatenate(scores)))

    def run(self, rows, pixels):
        width = max(len(row.ids) for row in rows)
        ids, mask, types = (np.zeros((len(rows), width), np.int64) for _ in range(3))
        for place, row in enumerate(rows):
            length = len(row.ids)
            ids[place, :length], mask[place, :length] = row.ids, row.attention_mask
            types[place, :length] = row.type_ids
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types, "pixel_values": np.stack(pixels)}
        return self.session.run(["logits"], inputs)[0]


def quantized(graph):
    """The graph after `quantize_dynamic`, made once beside the working folder."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    path = f"{os.path.abspath(graph).replace(os.sep, '_')}.dynamic.onnx"
    if not os.path.exists(path):
        quantize_dynamic(graph, path, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul"])
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--input", required=True, help="JSON Lines with id, title, image")
    parser.add_argument("--tags", required=True)
    parser.add_argument("--mode", choices=["usual", "tuned"], required=True)
    parser.add_argument("--int8", action="store_true")
    parser.add_argument("--products", type=int, help="take the first so many")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with open(given.input, encoding="utf-8") as file:
        products = [json.loads(line) for line in file][: given.products]
    with open(given.tags, encoding="utf-8") as file:
        tags = [line.strip() for line in file if line.strip()]
    pipeline = Pipeline(given.bundle, given.mode, given.int8)
    start = time.perf_counter()
    scores = pipeline.tag(products, tags, os.path.dirname(given.input))
    seconds = time.perf_counter() - start
    result = {"mode": given.mode, "int8": given.int8, "products": len(products), "tags": len(tags)}
    result |= {"seconds": seconds, "products_per_second": len(products) / seconds, "mean_score": float(scores.mean())}
    print(json.dumps(result) if given.json else result)


if __name__ == "__main__":
    main()
