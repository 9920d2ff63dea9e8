"""Checks a folder of `mbsd export --layout hf`: transformers read it, and plain Python scores as `mbsd` does.

    hub.py MODEL PRODUCTS TAGS EXPECTED

EXPECTED is what `mbsd tag --threshold 0` wrote. Prints the measured differences as JSON.
"""

import json
import os
import sys

import numpy as np
from transformers import AutoConfig, AutoTokenizer

model, products_file, tags_file, expected_file = sys.argv[1:]
sys.path.insert(0, model)

from mbsd_hub import Graphs  # noqa: E402
from mbsd_products import Client, lines  # noqa: E402

# On equal pixels: the same graph, another batch.
SCORE = 1e-4
# JPEG decoders differ by a level here and there, and fill in left-out colours each in its own way. The weights of the test are wider
# apart than a trained model's, so that small differences show: where they are largest, fewer decisions are the same.
SAME_DECISIONS = {"exact": 1.0, "jpg": 0.999, "jpeg": 0.99}

products = lines(products_file)
with open(tags_file, encoding="utf-8") as file:
    tags = [line.strip() for line in file]
images = os.path.dirname(products_file)
client = Client(model, Graphs(model))
inputs = client.inputs

config = AutoConfig.from_pretrained(model)
assert config.model_type == "bert" and config.num_labels == 1 and config.id2label == {0: "match"}, config
assert config.problem_type == "multi_label_classification"

tokenizer = AutoTokenizer.from_pretrained(model)
assert tokenizer.is_fast and tokenizer.model_max_length == inputs.max_tokens
titled = [product for product in products if product["title"]]
for product in titled:
    encoded = tokenizer(tags[0], product["title"], truncation="only_second", max_length=inputs.max_tokens)
    assert (encoded["input_ids"], encoded["token_type_ids"]) == inputs.row(product["title"], tags[0]), product
padded = tokenizer(
    [tags[0]] * 2,
    [titled[0]["title"], titled[1]["title"]],
    padding=True,
    truncation="only_second",
    max_length=inputs.max_tokens,
    return_tensors="np",
)
rows = inputs.text([inputs.row(product["title"], tags[0]) for product in titled[:2]])
for name, array in rows.items():
    assert np.array_equal(padded[name], array), name

report = {"image_processor": "not measured"}
pictures = [os.path.join(images, product["image"]) for product in products if product["image"]]
try:
    from transformers import AutoImageProcessor

    processor = AutoImageProcessor.from_pretrained(model, backend="pil")
except ImportError as error:
    report["image_processor"] = f"not measured: {error}"
else:
    from PIL import Image

    worst = 0.0
    for path in pictures:
        theirs = np.asarray(processor(Image.open(path), return_tensors="np")["pixel_values"][0])
        worst = max(worst, float(np.abs(theirs - inputs.pixels(path)).max()))
    assert worst < 1e-5, f"the image processor's pixels differ by {worst}"
    report["image_processor"] = worst

expected = {
    row["id"]: {tag["tag"]: tag["score"] for tag in row["tags"]} for row in lines(expected_file)
}
threshold = inputs.config["mbsd"]["threshold"]
kinds = {"exact": [], "jpg": [], "jpeg": []}
for product, scores in zip(products, client.tag(products, tags, images)):
    kind = (product["image"] or "").rpartition(".")[2]
    kind = kind if kind in kinds else "exact"
    kinds[kind].extend((expected[product["id"]][tag], score) for tag, score in zip(tags, scores))
for kind, pairs in kinds.items():
    ours, theirs = np.array(pairs).T
    same = float(np.mean((ours >= threshold) == (theirs >= threshold)))
    report[kind] = {
        "decisions": len(pairs),
        "matches": int(np.sum(ours >= threshold)),
        "same": same,
        "max_difference": float(np.abs(ours - theirs).max()),
    }
    assert same >= SAME_DECISIONS[kind], (kind, report)
    assert float(np.std(ours)) > 0.01, "scores that are all alike test nothing"
assert report["exact"]["max_difference"] <= SCORE, report
print(json.dumps(report))
