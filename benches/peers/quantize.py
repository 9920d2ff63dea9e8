"""What 8 bits cost, ours and those of `onnxruntime.quantization`: the same model, the same rows.

    python quantize.py rows --out rows                      writes rows to measure on, and products to take ranges from
    python quantize.py compare --model hub --rows rows/match.parquet --range-rows rows/match-ranges.parquet --work work

`hub` is a calibrated bundle in the layout of the Hub (`mbsd export --bundle .. --layout hf`); README.md has all commands.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

import fashion

sys.path.append(str(Path(__file__).parents[2] / "integrations"))
from mbsd_products import Inputs  # noqa: E402

BATCH = 16
RANGE_ROWS = 512


def write_rows(out: Path) -> None:
    """Match: the fixed evaluation rows, ranges from rows drawn over products of the validation split. Article types: every
    fourth product of the test split, ranges from the validation split."""
    folder = fashion.data_folder()
    small = folder / "small-60x80"
    out.mkdir(parents=True, exist_ok=True)
    pq.write_table(pq.read_table(folder / "match-eval-small.parquet"), out / "match.parquet")

    task = fashion.Task.read(folder)
    table = pq.read_table(small / "validation.parquet")
    products = fashion.read_products(small / "validation.parquet", task, side=8)
    drawn = fashion.draw_rows(products, np.random.default_rng(1))
    chosen = np.linspace(0, len(drawn.tags) - 1, RANGE_ROWS).astype(int)
    indices = drawn.products[chosen]
    rows = {
        "id": table["id"].take(indices),
        "title": pa.array([products.titles[index] for index in indices]),
        "image": table["image"].take(indices),
        "tag": pa.array([drawn.tags[row] for row in chosen]),
    }
    pq.write_table(pa.table(rows), out / "match-ranges.parquet")

    columns = ["id", "title", "image", "articleType"]
    test = pq.read_table(small / "test.parquet", columns=columns)
    pq.write_table(test.take(np.arange(0, test.num_rows, 4)), out / "classify.parquet")
    spread = np.linspace(0, table.num_rows - 1, RANGE_ROWS).astype(int)
    pq.write_table(table.select(columns).take(spread), out / "classify-ranges.parquet")


class Rows:
    """Rows as inputs of the graph `full`, those of one length together, as `mbsd` has them."""

    def __init__(self, inputs: Inputs, path: Path) -> None:
        table = pq.read_table(path)
        tags = table["tag"].to_pylist() if inputs.task == "match" else [None] * table.num_rows
        self.table = table
        self.texts = [inputs.row(title, tag) for title, tag in zip(table["title"].to_pylist(), tags)]
        self.images = [image["bytes"] for image in table["image"].to_pylist()]
        self.inputs = inputs

    def batches(self) -> Iterator[tuple[list[int], dict[str, np.ndarray]]]:
        by_length: dict[int, list[int]] = {}
        for row, (ids, _) in enumerate(self.texts):
            by_length.setdefault(len(ids), []).append(row)
        for _, rows in sorted(by_length.items()):
            for start in range(0, len(rows), BATCH):
                chosen = rows[start : start + BATCH]
                inputs = self.inputs.text([self.texts[row] for row in chosen])
                pixels = [self.inputs.pixels(io.BytesIO(self.images[row])) for row in chosen]
                yield chosen, inputs | {"pixel_values": np.stack(pixels)}


class Reader(CalibrationDataReader):
    """The rows that `quantize_static` observes."""

    def __init__(self, rows: Rows) -> None:
        self.batches = (inputs for _, inputs in rows.batches())

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.batches, None)


def quantize(graph: Path, ranges: Rows, work: Path) -> dict[str, Path]:
    """The graphs that `onnxruntime.quantization` makes, weights per channel throughout."""
    work.mkdir(parents=True, exist_ok=True)
    dynamic = work / "dynamic.onnx"
    quantize_dynamic(graph, dynamic, per_channel=True, weight_type=QuantType.QInt8)
    made = {"quantize_dynamic": dynamic}
    signed = {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8}
    symmetric = {"extra_options": {"ActivationSymmetric": True}}
    for name, operators in {"quantize_static": None, "quantize_static, MatMul": ["MatMul"]}.items():
        path = work / f"{name.replace(', ', '_')}.onnx"
        quantize_static(
            graph,
            path,
            Reader(ranges),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=operators,
            per_channel=True,
            **signed,
            **symmetric,
        )
        made[name] = path
    return made


def measure(graph: Path, rows: Rows, labels: list[str] | None, truth: str) -> tuple[float, np.ndarray]:
    """ROC-AUC or accuracy, and the logits."""
    options = onnxruntime.SessionOptions()
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    logits: list[np.ndarray | None] = [None] * len(rows.texts)
    for chosen, inputs in rows.batches():
        (answer,) = session.run(["logits"], inputs)
        for row, value in zip(chosen, answer):
            logits[row] = value
    values = np.stack(logits)
    known = rows.table[truth].to_pylist()
    if labels is None:
        return fashion.roc_auc(values, np.array(known, dtype=np.float32)), values
    places = {label: place for place, label in enumerate(labels)}
    measured = [row for row, label in enumerate(known) if label in places]
    right = [values[row].argmax() == places[known[row]] for row in measured]
    return float(np.mean(right)), values


def compare(arguments: argparse.Namespace) -> list[dict[str, object]]:
    """One result a graph, the f32 graph first."""
    inputs = Inputs(str(arguments.model))
    rows, ranges = Rows(inputs, arguments.rows), Rows(inputs, arguments.range_rows)
    labels = None
    if inputs.task == "classification":
        names = inputs.config["id2label"]
        labels = [names[str(place)] for place in range(len(names))]
    onnx = arguments.model / "onnx"
    # The Hub's name for the graph `full`.
    f32 = onnx / "model.onnx"
    ours = {"per token": "int8", "qdq": "qdq", "w8": "w8"}
    graphs = {"f32": f32} | {name: onnx / f"model_{suffix}.onnx" for name, suffix in ours.items()}
    graphs |= quantize(f32, ranges, arguments.work)
    results: list[dict[str, object]] = []
    first: tuple[float, np.ndarray] | None = None
    for name, path in graphs.items():
        value, logits = measure(path, rows, labels, arguments.label_column)
        first = first or (value, logits)
        results.append(
            {
                "graph": name,
                "rows": len(rows.texts),
                "value": value,
                "drop": first[0] - value,
                "mean_abs_diff": float(np.abs(logits - first[1]).mean()),
                "max_abs_diff": float(np.abs(logits - first[1]).max()),
                "megabytes": path.stat().st_size / 1e6,
            }
        )
        print(json.dumps(results[-1]), flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    rows = commands.add_parser("rows")
    rows.add_argument("--out", type=Path, required=True)
    both = commands.add_parser("compare")
    both.add_argument("--model", type=Path, required=True, help="a calibrated bundle in the layout of the Hub")
    both.add_argument("--rows", type=Path, required=True, help="labelled rows")
    both.add_argument("--range-rows", type=Path, required=True, help="rows of other products, for static ranges")
    both.add_argument("--label-column", default="label")
    both.add_argument("--work", type=Path, required=True, help="folder for the graphs that are made")
    arguments = parser.parse_args()
    if arguments.command == "rows":
        write_rows(arguments.out)
    else:
        compare(arguments)


if __name__ == "__main__":
    main()
