"""Makes a small catalogue: products.jsonl, tags.txt and images/, the same each time.

    products.py FOLDER

Pictures are PNG, which every decoder reads alike, and JPEG, which decoders read with small differences, with all colours (`.jpg`) and
with every fourth (`.jpeg`).
"""

import json
import os
import random
import sys

import numpy as np
from PIL import Image, ImageFilter

folder = sys.argv[1]
os.makedirs(os.path.join(folder, "images"), exist_ok=True)
rng = random.Random(5)
pixels = np.random.default_rng(5)
WORDS = ["red", "blue", "黑色", "连衣裙", "long", "sleeve", "100", "半高领", "dress", "-", "Ärmel", "[SEP]"]


def title():
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 12)))


def picture(path, options):
    """A few soft rectangles over a gradient, with some noise: the spectrum of a photograph, not of a drawing."""
    width, height = rng.randint(40, 120), rng.randint(40, 120)
    image = np.linspace(rng.randint(0, 255), rng.randint(0, 255), width)[None, :, None].repeat(height, 0).repeat(3, 2)
    for _ in range(6):
        x, y = rng.randrange(width), rng.randrange(height)
        image[y : y + rng.randint(5, 50), x : x + rng.randint(5, 50)] = [rng.randint(0, 255) for _ in range(3)]
    image += pixels.normal(0, 4, image.shape)
    soft = Image.fromarray(image.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1.5))
    soft.save(path, **options)


products = []
for index in range(150):
    # 50 JPEG of either kind, 30 PNG, 10 without an image, 10 without a title.
    kind = "jpg" if index < 50 else "jpeg" if index < 100 else "png"
    product = {"id": f"p{index}", "title": title(), "image": f"images/{index}.{kind}"}
    if 130 <= index < 140:
        product["image"] = None
    if index >= 140:
        product["title"] = None
    if product["image"]:
        options = {"jpg": {"quality": 90, "subsampling": 0}, "jpeg": {"quality": 90, "subsampling": 2}, "png": {}}[kind]
        picture(os.path.join(folder, product["image"]), options)
    products.append(product)
with open(os.path.join(folder, "products.jsonl"), "w", encoding="utf-8") as file:
    file.writelines(json.dumps(product, ensure_ascii=False) + "\n" for product in products)
tags = [f"{name}:{value}" for name in ("colour", "颜色", "sleeve", "领型") for value in ("red", "蓝色", "long", "7", "半高领")]
with open(os.path.join(folder, "tags.txt"), "w", encoding="utf-8") as file:
    file.write("\n".join(tags))
