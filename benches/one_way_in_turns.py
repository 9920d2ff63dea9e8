"""A product read once for all its tags against tag by tag, in turns: products/s, the ratios round by round, and peak memory.

    cargo run --release --example random_checkpoint -- base
    cargo run --release --example random_checkpoint -- base-one-way --attention one-way
    for b in base base-one-way; do
        mbsd export --checkpoint $b --variants full --tokenizer tokenizer.json --out $b-f32
        mbsd calibrate --bundle $b-f32 --method per-token --data labelled.parquet --max-drop 1 --force --out $b-bundle
    done
    python benches/one_way_in_turns.py --mbsd target/debug/mbsd --full base-bundle --one-way base-one-way-bundle \\
        --input products.jsonl --tags tags-5.txt=26 tags-20.txt=14 tags-945.txt=2

`tags.txt=N` asks these tags of the first N products, JSON Lines with `id`, `title` and `image`. Loading of graphs is left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ENGINES = {
    "ort-cpu f32": ["--engine", "ort-cpu", "--precision", "f32"],
    "ort-cpu int8": ["--engine", "ort-cpu", "--precision", "int8"],
    "tract f32": ["--engine", "tract", "--precision", "f32"],
    "tract int8": ["--engine", "tract", "--precision", "int8"],
}


def tag(mbsd: str, bundle: str, products: Path, tags: str, engine: list[str]) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        command = [mbsd, "tag", "--bundle", bundle, "--input", str(products), "--tags", tags, "--threshold", "0"]
        command += ["--output", str(Path(folder, "out.jsonl")), "--json", *engine]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
        return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mbsd", required=True, help="the program, built")
    parser.add_argument("--full", required=True, help="a bundle with full attention")
    parser.add_argument("--one-way", required=True, help="a bundle of the same size with one-way attention")
    parser.add_argument("--input", required=True, type=Path)
    parser.add_argument("--tags", required=True, nargs="+", metavar="FILE=PRODUCTS")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=list(ENGINES), help="of the engines in the table")
    parser.add_argument("--json", type=Path, help="also write what every run printed here")
    args = parser.parse_args()
    runs: list[dict] = []
    print("| engine | tags | tag by tag, products/s | read once, products/s | times | memory, tag by tag | read once |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for engine in args.only:
        for given in args.tags:
            tags, _, count = given.rpartition("=")
            asked = len([line for line in Path(tags).read_text().splitlines() if line.strip()])
            lines = args.input.read_text().splitlines(keepends=True)[: int(count)]
            # Beside the input, for images are named from there.
            with tempfile.NamedTemporaryFile("w", suffix=".jsonl", dir=args.input.parent) as products:
                products.writelines(lines)
                products.flush()
                measured: dict[str, list[dict]] = {"full": [], "one_way": []}
                for index in range(args.rounds):
                    for form in ("full", "one_way") if index % 2 == 0 else ("one_way", "full"):
                        run = tag(args.mbsd, getattr(args, form), Path(products.name), tags, ENGINES[engine])
                        measured[form].append(run)
                        print(f"{engine}, {asked} tags, {form}: {run['products_per_second']:.3f}", file=sys.stderr)
            rates = {form: [run["products_per_second"] for run in of] for form, of in measured.items()}
            ratios = [once / by_tag for once, by_tag in zip(rates["one_way"], rates["full"])]
            memory = {form: max(run["peak_memory_bytes"] for run in of) / 1e6 for form, of in measured.items()}
            print(
                f"| {engine} | {asked} | {statistics.median(rates['full']):.3f} | {statistics.median(rates['one_way']):.3f} "
                f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) "
                f"| {memory['full']:.0f} MB | {memory['one_way']:.0f} MB |",
                flush=True,
            )
            runs.append({"engine": engine, "tags": asked, "products": len(lines), **measured})
    if args.json:
        args.json.write_text(json.dumps(runs, indent=1) + "\n")


if __name__ == "__main__":
    main()
