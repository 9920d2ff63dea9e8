"""The same training on two devices: the largest difference of loss and of the norm of the gradients.

Both go on from one checkpoint of the first device, so that weights, moments and batches are the same. Dropout is to be 0: each
device draws its own.

    python benches/device_agreement.py --program target/debug/mbsd-train --devices cpu webgpu -- \\
        finetune --config train/configs/fashion-match.toml --set model.hidden_dropout_prob=0
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def train(program: str, training: list[str], device: str, output: Path, last: int, *more: str) -> None:
    command = [program, *training, "--device", device, "--stop-at-step", str(last), *more]
    command += ["--set", f'output="{output}"', "--set", "training.log_every=1"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{' '.join(command)}\n{result.stderr}")


def steps(output: Path) -> dict:
    lines = (json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line for line in lines if "gradient_norm" in line}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="mbsd-train, built with the devices' features")
    parser.add_argument("--devices", nargs=2, default=["cpu", "cuda"])
    parser.add_argument("--before", type=int, default=4, help="steps before the checkpoint")
    parser.add_argument("--steps", type=int, default=6, help="steps on both devices")
    parser.add_argument("training", nargs=argparse.REMAINDER, help="after --, the command of mbsd-train and its options")
    arguments = parser.parse_args()
    training = arguments.training[1:] if arguments.training[:1] == ["--"] else arguments.training

    with tempfile.TemporaryDirectory() as folder:
        start = Path(folder, "start")
        train(arguments.program, training, arguments.devices[0], start, arguments.before)
        runs = []
        for index, device in enumerate(arguments.devices):
            output = Path(folder, str(index))
            shutil.copytree(start, output)
            train(arguments.program, training, device, output, arguments.before + arguments.steps, "--resume")
            runs.append(steps(output))
    compared = range(arguments.before + 1, arguments.before + arguments.steps + 1)
    pairs = [tuple(run[step] for run in runs) for step in compared]
    loss = max(abs(one["loss"] - other["loss"]) for one, other in pairs)
    norm = max(abs(other["gradient_norm"] / one["gradient_norm"] - 1) for one, other in pairs)
    print(f"{len(pairs)} steps: loss {loss:.1e}, norm of the gradients {norm:.1e} relative")


if __name__ == "__main__":
    main()
