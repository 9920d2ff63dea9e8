"""Scores products with a Triton Inference Server that serves a repository of `mbsd export --layout triton`.

    python mbsd_triton.py --url http://localhost:8000 --input products.jsonl --tags tags.txt --output scores.jsonl

Speaks the HTTP v2 protocol with the binary tensor extension, and needs no Triton library.
"""

import argparse
import json
import os
import urllib.error
import urllib.request

import numpy as np

from mbsd_products import Client, add_arguments, main

DATATYPES = {np.dtype(np.float32): "FP32", np.dtype(np.int64): "INT64"}
DTYPES = {name: dtype for dtype, name in DATATYPES.items()}

# Triton batches rows of one shape: clients that pad to the same few lengths are put together.
LENGTHS = (16, 32, 64, 128)


class Server:
    """The models of a server."""

    def __init__(self, url, timeout=60.0):
        self.url = url.rstrip("/")
        self.timeout = timeout

    def ready(self, model):
        """Whether a model is loaded and takes requests."""
        try:
            with urllib.request.urlopen(f"{self.url}/v2/models/{model}/ready", timeout=self.timeout) as answer:
                return answer.status == 200
        except urllib.error.HTTPError:
            return False

    def __call__(self, model, inputs):
        described, blobs = [], []
        for name, array in inputs.items():
            blob = np.ascontiguousarray(array).tobytes()
            described.append({
                "name": name,
                "shape": list(array.shape),
                "datatype": DATATYPES[array.dtype],
                "parameters": {"binary_data_size": len(blob)},
            })
            blobs.append(blob)
        header = json.dumps({"inputs": described, "parameters": {"binary_data_output": True}}).encode()
        request = urllib.request.Request(
            f"{self.url}/v2/models/{model}/infer",
            data=b"".join([header, *blobs]),
            headers={
                "Content-Type": "application/octet-stream",
                "Inference-Header-Content-Length": str(len(header)),
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as answer:
                length = answer.headers.get("Inference-Header-Content-Length")
                body = answer.read()
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{model}: {error.code} {error.read().decode(errors='replace')}") from error
        return outputs(body, int(length) if length else len(body))


def outputs(body, header_length):
    """The tensors of an answer, binary or as JSON."""
    named, start = {}, header_length
    for output in json.loads(body[:header_length])["outputs"]:
        dtype = DTYPES[output["datatype"]]
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            array = np.array(output["data"], dtype)
        else:
            array = np.frombuffer(body[start : start + size], dtype)
            start += size
        named[output["name"]] = array.reshape(output["shape"])
    return named


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://localhost:8000", help="the server [default: %(default)s]")
    parser.add_argument("--model", default=os.path.dirname(os.path.abspath(__file__)),
                        help="folder with config.json and tokenizer.json [default: that of this file]")
    add_arguments(parser)
    arguments = parser.parse_args()
    client = Client(arguments.model, Server(arguments.url), arguments.precision)
    client.pad_to = (*(length for length in LENGTHS if length < client.inputs.max_tokens), client.inputs.max_tokens)
    main(arguments, client)
