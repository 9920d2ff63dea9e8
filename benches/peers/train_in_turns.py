"""Training speed of this project and of PyTorch on the same shapes, run in turns: the ratio, pair by pair.

    cargo build --workspace --example train_speed
    python benches/peers/train_in_turns.py --ours target/debug/examples/train_speed -- --text 6,7,8,10 --padded --dropout 0

What stands after `--` goes to both. On a GPU, PyTorch is measured with and without torch.compile.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

PEER = Path(__file__).with_name("train_speed.py")


def measure(command: list[str]) -> float:
    """Samples/s that a command prints as the last line of JSON."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])["samples_per_second"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", required=True, help="the example train_speed, built")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the results here")
    parser.add_argument("shape", nargs="*", help="arguments of both, after --")
    args = parser.parse_args()
    cuda = any(argument.startswith("cuda") for argument in args.shape)
    peers = {"PyTorch": [sys.executable, str(PEER), *args.shape]}
    if cuda:
        peers["PyTorch, compiled"] = [*peers["PyTorch"], "--compile"]
    rates: dict[str, list[float]] = {name: [] for name in ["ours", *peers]}
    for _ in range(args.rounds):
        rates["ours"].append(measure([args.ours, *args.shape]))
        for name, command in peers.items():
            rates[name].append(measure(command))
    for name, measured in rates.items():
        print(f"{name:18} {statistics.median(measured):9.1f} samples/s  ({min(measured):.1f} to {max(measured):.1f})")
    for name in peers:
        # A peer's rate over ours is our time over its time.
        ratios = [theirs / own for own, theirs in zip(rates["ours"], rates[name])]
        print(f"time / {name}: {statistics.median(ratios):.2f}  ({min(ratios):.2f} to {max(ratios):.2f})")
    if args.json:
        args.json.write_text(json.dumps({"arguments": args.shape, "samples_per_second": rates}, indent=1) + "\n")


if __name__ == "__main__":
    main()
