"""Tagging by this project and as one would write it in Python, in turns: products/s, and the ratios round by round.

    mbsd export --checkpoint base --variants full --tokenizer tokenizer.json --out base-bundle
    mbsd calibrate --bundle base-bundle --method per-token --data labelled.parquet --max-drop 1 --force --out base-int8
    python benches/peers/tag_in_turns.py --mbsd target/debug/mbsd --bundle base-int8 --input products.jsonl --tags tags.txt

The bundle holds f32 and int8 graphs; products are JSON Lines with `id`, `title` and `image`, a path from the file's folder. Loading is
left out on both sides.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PEER = Path(__file__).with_name("tag_onnx.py")
OURS = {
    "ort-cpu f32": ["--engine", "ort-cpu", "--precision", "f32"],
    "ort-cpu int8": ["--engine", "ort-cpu", "--precision", "int8"],
    "tract f32": ["--engine", "tract", "--precision", "f32"],
    "tract int8": ["--engine", "tract", "--precision", "int8"],
}
PEERS = {"usual": ["--mode", "usual"], "tuned": ["--mode", "tuned"], "tuned, dynamic int8": ["--mode", "tuned", "--int8"]}


def measure(command: list[str]) -> dict:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mbsd", required=True, help="the program, built")
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--input", required=True)
    parser.add_argument("--tags", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="of the names in the table")
    parser.add_argument("--json", type=Path, help="also write what every run printed here")
    args = parser.parse_args()
    common = ["--bundle", args.bundle, "--input", args.input, "--tags", args.tags, "--json"]
    runs: dict[str, list[dict]] = {}
    with tempfile.TemporaryDirectory() as folder:
        commands = {name: [sys.executable, str(PEER), *common, *own] for name, own in PEERS.items()}
        for name, own in OURS.items():
            output = str(Path(folder, f"{name}.jsonl"))
            commands[name] = [args.mbsd, "tag", *common, *own, "--threshold", "0", "--output", output]
        chosen = args.only or list(commands)
        for index in range(args.rounds):
            for name in chosen if index % 2 == 0 else reversed(chosen):
                if name in OURS:
                    Path(folder, f"{name}.jsonl").unlink(missing_ok=True)
                runs.setdefault(name, []).append(measure(commands[name]))
                print(f"{name}: {runs[name][-1]['products_per_second']:.3f} products/s", file=sys.stderr)
    rates = {name: [run["products_per_second"] for run in runs[name]] for name in chosen}
    bases = [name for name in PEERS if name in chosen]
    print("| | products/s | " + "".join(f"times {base} | " for base in bases) + "cores | outside inference |")
    print("|---|---:|" + "---:|" * (len(bases) + 2))
    for name in chosen:
        cells = [f"{statistics.median(rates[name]):.3f}"]
        for base in bases:
            ratios = [own / theirs for own, theirs in zip(rates[name], rates[base])]
            cells.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        last = runs[name][-1]
        if name in OURS:
            cells += [f"{last['cores_used'] / last['cores']:.1%}", f"{last['stages']['outside_inference']:.1%}"]
        else:
            cells += ["", ""]
        print(f"| {name} | " + " | ".join(cells) + " |")
    if args.json:
        args.json.write_text(json.dumps(runs, indent=1) + "\n")


if __name__ == "__main__":
    main()
