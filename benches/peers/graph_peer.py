"""Runs an exported graph through another library's Python API, for `mbsd bench --peer`.

Reads one job as JSON from standard input, measures it as `mbsd bench-worker` does, writes one line of JSON. README.md has the
protocol. The job's `engine` says through what: onnxruntime, openvino, openvino-bf16, pytorch, pytorch-bf16.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

START = time.perf_counter()

BLOCK_SECONDS = 0.05
"""The time over which a median is taken in warm-up, where a request is shorter."""

TOLERANCE = 0.05
"""How far the medians of two blocks of warm-up may be apart."""

Inputs = list[tuple[str, str, list[object]]]
"""Name, element type and shape of each input; a symbol is a string."""


def made_up(inputs: Inputs, rows: int, job: dict) -> dict:
    """The same rows as `runtime/src/bench/inputs.rs` makes."""
    import numpy as np

    text = job["text"] or 1
    arrays = {}
    for name, dtype, shape in inputs:
        sizes = [size if isinstance(size, int) else text if size == "text" else rows for size in shape]
        count = int(np.prod(sizes))
        if dtype == "float32":
            values = (np.arange(count) * 7919 % 2003 / 1001.5 - 1.0).astype(np.float32)
        elif name == "attention_mask":
            values = np.ones(count, np.int64)
        elif name == "token_type_ids":
            values = np.zeros(count, np.int64)
        else:
            values = (np.arange(count) * 37 % job["vocabulary"]).astype(np.int64)
        arrays[name] = values.reshape(sizes)
    return arrays


def onnxruntime(job: dict) -> tuple[str, Callable[[], None]]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    session = ort.InferenceSession(job["graph"], options, providers=["CPUExecutionProvider"])
    types = {"tensor(float)": "float32", "tensor(int64)": "int64"}
    inputs = [(input.name, types[input.type], input.shape) for input in session.get_inputs()]
    runs = [made_up(inputs, rows, job) for rows in job["runs"]]

    def request() -> None:
        for run in runs:
            session.run(None, run)

    return ort.__version__, request


def openvino(job: dict) -> tuple[str, Callable[[], None]]:
    import openvino as ov

    precision = "bf16" if job["engine"].endswith("bf16") else "f32"
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": job["threads"],
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }
    model = ov.Core().read_model(job["graph"])
    compiled = ov.Core().compile_model(model, "CPU", settings)
    types = {"f32": "float32", "i64": "int64"}

    def shape(input: ov.Input) -> list[object]:
        # Axes that vary are batch, then text: OpenVINO keeps no names of them.
        return [
            dim.get_length() if dim.is_static else "text" if axis == 1 else "batch"
            for axis, dim in enumerate(input.partial_shape)
        ]

    inputs = [(i.any_name, types[i.element_type.get_type_name()], shape(i)) for i in model.inputs]
    runs = [made_up(inputs, rows, job) for rows in job["runs"]]
    session = compiled.create_infer_request()

    def request() -> None:
        for run in runs:
            session.infer(run)

    return ov.__version__.split("-")[0], request


def pytorch(job: dict) -> tuple[str, Callable[[], None]]:
    """PyTorch reads no ONNX: the same model at the sizes of the bundle's config.json, with random weights."""
    import torch

    sys.path.insert(0, str(Path(__file__).parent))
    import mbsd_torch

    graph = Path(job["graph"])
    fields = json.loads((graph.parent.parent / "config.json").read_text())
    names = mbsd_torch.Config.__dataclass_fields__
    config = mbsd_torch.Config(**{name: fields[name] for name in names if name in fields})
    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    model = mbsd_torch.Mbsd(config, "match").eval()
    bf16 = job["engine"].endswith("bf16")
    if bf16:
        model = model.to(torch.bfloat16)
    variant = graph.stem.split("_")[0]
    tokens = [(name, "int64", ["batch", "text"]) for name in ("input_ids", "attention_mask", "token_type_ids")]
    side = config.image_size
    pixels = [("pixel_values", "float32", ["batch", 3, side, side])]
    inputs = tokens + (pixels if variant in ("full", "image") else [])

    def prepared(rows: int) -> tuple[mbsd_torch.Text, mbsd_torch.Image | None]:
        arrays = {name: torch.from_numpy(array) for name, array in made_up(inputs, rows, job).items()}
        # No mask, as nothing is padded: what PyTorch runs fastest.
        text = mbsd_torch.Text(arrays["input_ids"], None, arrays["token_type_ids"])
        if "pixel_values" not in arrays:
            return text, None
        values = arrays["pixel_values"]
        return text, mbsd_torch.Image(values.to(torch.bfloat16) if bf16 else values)

    runs = [prepared(rows) for rows in job["runs"]]

    @torch.inference_mode()
    def request() -> None:
        for text, image in runs:
            model(text, image)

    return torch.__version__.split("+")[0], request


LIBRARIES = {
    "onnxruntime": onnxruntime,
    "openvino": openvino,
    "openvino-bf16": openvino,
    "pytorch": pytorch,
    "pytorch-bf16": pytorch,
}


def cpu_seconds() -> float:
    """Of all living threads, to the nanosecond."""
    total = 0
    for task in os.listdir("/proc/self/task"):
        try:
            total += int(Path(f"/proc/self/task/{task}/schedstat").read_text().split()[0])
        except FileNotFoundError:
            pass
    return total / 1e9


def warm_up(limit: float, request: Callable[[], None]) -> bool:
    start, last = time.perf_counter(), None
    while True:
        begin = before = time.perf_counter()
        block: list[float] = []
        while not block or before - begin < BLOCK_SECONDS:
            request()
            after = time.perf_counter()
            block.append(after - before)
            before = after
        own = median(block)
        if last is not None and abs(own - last) <= TOLERANCE * last:
            return True
        if before - start >= limit:
            return False
        last = own


def measure(job: dict) -> dict:
    if job["load"] != "closed":
        raise ValueError("a peer is measured with one request after the other: --load closed")
    if job["engine"] not in LIBRARIES:
        raise ValueError(f"no library `{job['engine']}`: {', '.join(LIBRARIES)}")
    version, request = LIBRARIES[job["engine"]](job)
    load_ms = (time.perf_counter() - START) * 1e3
    before = time.perf_counter()
    request()
    first_ms = (time.perf_counter() - before) * 1e3
    steady = warm_up(job["warm_up_seconds"], request)
    cpu = cpu_seconds()
    start = before = time.perf_counter()
    latencies: list[float] = []
    while before - start < job["seconds"] or len(latencies) < job["requests"]:
        request()
        after = time.perf_counter()
        latencies.append((after - before) * 1e3)
        before = after
    return {
        "outcome": "measured",
        "engine_version": version,
        "load_ms": load_ms,
        "first_ms": first_ms,
        "latencies_ms": latencies,
        "elapsed_seconds": before - start,
        "cpu_seconds": cpu_seconds() - cpu,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "steady": steady,
    }


def main() -> None:
    try:
        answer = measure(json.load(sys.stdin))
    except Exception as error:  # noqa: BLE001: whatever it is, the report has it.
        answer = {"outcome": "failed", "reason": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
