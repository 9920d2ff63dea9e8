"""Training speed of the PyTorch model on made-up batches: one JSON line with samples/s.

For comparisons with this project's own training, run in turns on one machine with the same shapes. A step is forward,
backward and AdamW; making batches is left out, moving them to a GPU is not.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time

import torch
from torch.nn import functional as F

from mbsd_torch import Config, Image, Mbsd, Text


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--size", choices=["small", "base"], default="small", help="4 x 192 (fashion-match.toml) or 12 x 768"
    )
    parser.add_argument("--image-size", type=int, help="64 for small, 224 for base by default")
    parser.add_argument("--patch", type=int, choices=[16, 32], help="16 for small, 32 for base by default")
    parser.add_argument("--batch", type=int, default=64)
    lengths = lambda text: [int(length) for length in text.split(",")]  # noqa: E731
    parser.add_argument("--text", type=lengths, default=[8, 10, 12, 14], help="tokens of successive batches, 8,10,12")
    parser.add_argument(
        "--without-image", action="store_true", help="the text graph; for tag and image alone, pass --text 5"
    )
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--padded", action="store_true", help="with a mask, as batches of unequal rows have it")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument(
        "--dtype", choices=["f32", "tf32", "bf16"], default="f32", help="bf16: automatic mixed precision"
    )
    parser.add_argument("--compile", action="store_true", help="torch.compile, once for each text length")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warm-up", type=int, default=10, help="steps before measuring, at least two of each length")
    parser.add_argument("--steps", type=int, default=50)
    args = parser.parse_args()
    if args.dtype == "tf32" and args.device == "cpu":
        parser.error("tf32 is a format of GPUs")
    if args.compile and len(set(args.text)) > 8:
        parser.error("torch.compile gives up after 8 shapes: give fewer text lengths")
    return args


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    cuda = args.device.startswith("cuda")
    # PyTorch's own default is full single precision; tf32 has to be asked for.
    torch.set_float32_matmul_precision("high" if args.dtype == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = args.dtype == "tf32"

    given = {"image_size": args.image_size, "patch_size": args.patch}
    changes = {name: value for name, value in given.items() if value} | {"dropout": args.dropout}
    config = Config.small(**changes) if args.size == "small" else Config(**changes)
    model = Mbsd(config).to(args.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=cuda)
    forward = torch.compile(model, dynamic=False) if args.compile else model

    batches = []
    for length in args.text:
        ids = torch.randint(5, config.vocab_size, (args.batch, length))
        mask = torch.ones_like(ids)
        if args.padded:
            mask[::2, -(length // 4 or 1) :] = 0
        pixels = torch.rand(args.batch, 3, config.image_size, config.image_size) * 2 - 1
        labels = torch.randint(0, 2, (args.batch,)).float()
        batches.append((ids, mask if args.padded else None, None if args.without_image else pixels, labels))
    if cuda:
        batches = [tuple(None if part is None else part.pin_memory() for part in batch) for batch in batches]

    def step(index: int) -> None:
        parts = batches[index % len(batches)]
        ids, mask, pixels, labels = (
            None if part is None else part.to(args.device, non_blocking=True) for part in parts
        )
        image = None if pixels is None else Image(pixels)
        with torch.autocast(args.device.split(":")[0], torch.bfloat16, enabled=args.dtype == "bf16"):
            logits = forward(Text(ids, mask), image)
        loss = F.binary_cross_entropy_with_logits(logits.float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def now() -> float:
        if cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    for index in range(max(args.warm_up, 2 * len(batches))):
        step(index)
    rounds = []
    start = now()
    # The clock is read once a round of all lengths, so that a GPU is not kept waiting after every step.
    for first in range(0, args.steps, len(batches)):
        for index in range(first, first + len(batches)):
            step(index)
        end = now()
        rounds.append(len(batches) * args.batch / (end - start))
        start = end

    report = vars(args) | {
        "image_size": config.image_size,
        "patch": config.patch_size,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "samples_per_second": round(statistics.median(rounds), 1),
        "slowest_and_fastest_round": [round(min(rounds), 1), round(max(rounds), 1)],
        "rounds": len(rounds),
        "torch": torch.__version__,
        "machine": torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine(),
    }
    if cuda:
        report["peak_gpu_mib"] = torch.cuda.max_memory_allocated() >> 20
    print(json.dumps(report))


if __name__ == "__main__":
    main()
