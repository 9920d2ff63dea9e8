"""Checks a repository of `mbsd export --layout triton` against Triton's definition of its configuration, against the graphs, and
through the client that lies beside it.

    triton.py LAYOUT PRODUCTS TAGS EXPECTED

EXPECTED is what `mbsd tag --threshold 0` wrote. No Triton server is needed: a small one that keeps to the configuration and runs
the graphs with ONNX Runtime answers on the loopback address. Prints what was checked as JSON.
"""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import onnxruntime
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

layout, products_file, tags_file, expected_file = sys.argv[1:]
repository, client_folder = os.path.join(layout, "models"), os.path.join(layout, "client")
sys.path.insert(0, client_folder)

from mbsd_products import Client, lines  # noqa: E402
from mbsd_triton import LENGTHS, Server  # noqa: E402

TYPES = {"tensor(float)": "TYPE_FP32", "tensor(int64)": "TYPE_INT64"}
WIRE = {"TYPE_FP32": ("FP32", np.float32), "TYPE_INT64": ("INT64", np.int64)}


def dtype(tensor):
    return model_config_pb2.DataType.Name(tensor.data_type)


def served_shape(tensor):
    """A row's shape in requests and answers, -1 for what may vary."""
    return list(tensor.dims)


def graph_shape(tensor):
    """A row's shape as the graph has it."""
    return list(tensor.reshape.shape) if tensor.HasField("reshape") else list(tensor.dims)


class Model:
    """One model of the repository, loaded as Triton's ONNX Runtime backend loads it."""

    def __init__(self, name):
        folder = os.path.join(repository, name)
        assert sorted(os.listdir(folder)) == ["1", "config.pbtxt"], folder
        assert os.listdir(os.path.join(folder, "1")) == ["model.onnx"], folder
        with open(os.path.join(folder, "config.pbtxt"), encoding="utf-8") as file:
            self.config = text_format.Parse(file.read(), model_config_pb2.ModelConfig())
        self.session = onnxruntime.InferenceSession(
            os.path.join(folder, "1", "model.onnx"), providers=["CPUExecutionProvider"]
        )
        assert (self.config.name, self.config.backend) == (name, "onnxruntime")
        self.check(self.config.input, self.session.get_inputs())
        self.check(self.config.output, self.session.get_outputs())
        self.check_batching()

    def check(self, configured, tensors):
        assert [one.name for one in configured] == [one.name for one in tensors], self.config.name
        for one, tensor in zip(configured, tensors):
            assert dtype(one) == TYPES[tensor.type], one
            # Triton batches over the first axis, which must be open and is not in dims; dims may not be empty.
            assert isinstance(tensor.shape[0], str) and len(one.dims) > 0, one
            row = [-1 if isinstance(extent, str) else extent for extent in tensor.shape[1:]]
            assert graph_shape(one) == row, (one, tensor.shape)
            assert np.prod(served_shape(one)) == np.prod(row), one

    def check_batching(self):
        config = self.config
        preferred = list(config.dynamic_batching.preferred_batch_size)
        assert preferred == sorted(set(preferred)) and preferred[-1] <= config.max_batch_size
        assert len(config.instance_group) == 1 and config.instance_group[0].count == 1
        names = [one.name for one in config.input]
        for sample in config.model_warmup:
            assert 1 <= sample.batch_size <= config.max_batch_size and set(sample.inputs) == set(names)
            feed = {}
            for one in config.input:
                given = sample.inputs[one.name]
                assert given.data_type == one.data_type and given.zero_data and matches(list(given.dims), one.dims)
                feed[one.name] = np.zeros([sample.batch_size, *given.dims], WIRE[dtype(one)][1])
            for output in self.session.run(None, feed):
                assert np.isfinite(output).all(), sample.name
        for accelerator in config.optimization.execution_accelerators.gpu_execution_accelerator:
            assert accelerator.name == "tensorrt"
            profiles = [accelerator.parameters[f"trt_profile_{kind}_shapes"] for kind in ("min", "opt", "max")]
            shapes = [dict(part.split(":") for part in profile.split(",")) for profile in profiles]
            for one in config.input:
                low, usual, high = ([int(n) for n in shape[one.name].split("x")] for shape in shapes)
                assert all(a <= b <= c for a, b, c in zip(low, usual, high))
                assert low[0] == 1 and high[0] == config.max_batch_size and matches(high[1:], one.dims)

    def infer(self, feed):
        batch = {array.shape[0] for array in feed.values()}
        assert len(batch) == 1 and max(batch) <= self.config.max_batch_size, batch
        for one in self.config.input:
            array = feed[one.name]
            assert array.dtype == WIRE[dtype(one)][1] and matches(list(array.shape[1:]), one.dims), one.name
        outputs = self.session.run(None, feed)
        # The reshape of an output goes from what the graph gives to what the configuration says.
        return [output.reshape([output.shape[0], *one.dims]) for one, output in zip(self.config.output, outputs)]


def matches(shape, dims):
    return len(shape) == len(dims) and all(dim in (-1, extent) for extent, dim in zip(shape, dims))


class Handler(BaseHTTPRequestHandler):
    """HTTP v2 with binary tensors, as far as the client uses it."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        parts = self.path.strip("/").split("/")
        known = len(parts) == 4 and parts[:2] == ["v2", "models"] and parts[2] in models and parts[3] == "ready"
        self.answer(200 if known else 400, b"")

    def do_POST(self):
        _, _, name, action = self.path.strip("/").split("/")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        header_length = int(self.headers["Inference-Header-Content-Length"])
        request = json.loads(body[:header_length])
        if name not in models or action != "infer":
            return self.answer(400, b'{"error": "unknown model"}')
        feed, start = {}, header_length
        for one in request["inputs"]:
            wire = {code: kind for code, kind in WIRE.values()}[one["datatype"]]
            size = one["parameters"]["binary_data_size"]
            feed[one["name"]] = np.frombuffer(body[start : start + size], wire).reshape(one["shape"])
            start += size
        assert start == len(body)
        lengths.update(array.shape[1] for key, array in feed.items() if key == "input_ids")
        model = models[name]
        described, blobs = [], []
        for one, array in zip(model.config.output, model.infer(feed)):
            blob = np.ascontiguousarray(array).tobytes()
            described.append({"name": one.name, "datatype": WIRE[dtype(one)][0], "shape": list(array.shape),
                              "parameters": {"binary_data_size": len(blob)}})
            blobs.append(blob)
        header = json.dumps({"model_name": name, "model_version": "1", "outputs": described}).encode()
        self.answer(200, b"".join([header, *blobs]), len(header))

    def answer(self, status, body, header_length=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if header_length is not None:
            self.send_header("Inference-Header-Content-Length", str(header_length))
        self.end_headers()
        self.wfile.write(body)


models = {name: Model(name) for name in sorted(os.listdir(repository))}
lengths = set()
httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=httpd.serve_forever, daemon=True).start()
server = Server(f"http://127.0.0.1:{httpd.server_port}")

assert all(server.ready(name) for name in models) and not server.ready("nowhere")
try:
    server("nowhere", {"x": np.zeros((1, 1), np.float32)})
except RuntimeError as error:
    assert "nowhere: 400" in str(error) and "unknown model" in str(error), error
else:
    raise AssertionError("a request to an unknown model went through")

products = lines(products_file)
with open(tags_file, encoding="utf-8") as file:
    tags = [line.strip() for line in file]
expected = {row["id"]: {tag["tag"]: tag["score"] for tag in row["tags"]} for row in lines(expected_file)}
report = {"models": list(models)}
# The model of the test has weights wider apart than a trained one: half precision shows more than its usual 1e-2.
for precision, tolerance in (("f32", 1e-4), ("f16", 5e-2)):
    client = Client(client_folder, server, precision)
    client.pad_to = (*(length for length in LENGTHS if length < client.inputs.max_tokens), client.inputs.max_tokens)
    lengths.clear()
    worst = 0.0
    scored = client.tag(products, tags, os.path.dirname(products_file))
    for product, scores in zip(products, scored):
        if (product["image"] or "").endswith((".jpg", ".jpeg")):
            continue
        worst = max(worst, *(abs(expected[product["id"]][tag] - score) for tag, score in zip(tags, scores)))
    assert worst <= tolerance, (precision, worst)
    assert lengths <= set(client.pad_to), f"texts of {lengths} tokens were sent, not padded to {client.pad_to}"
    report[precision] = worst
httpd.shutdown()
print(json.dumps(report))
