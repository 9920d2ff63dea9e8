"""Scores products with a model folder in the layout of the Hugging Face Hub and ONNX Runtime.

    python mbsd_hub.py --model . --input products.jsonl --tags tags.txt --output scores.jsonl
"""

import argparse
import os

import onnxruntime

from mbsd_products import Client, add_arguments, main


class Graphs:
    """The graphs of a folder, each loaded when it is first asked for."""

    def __init__(self, folder, providers=None):
        self.folder = folder
        self.providers = providers or ["CPUExecutionProvider"]
        self.sessions = {}

    def __call__(self, name, inputs):
        session = self.sessions.get(name)
        if session is None:
            path = os.path.join(self.folder, name)
            session = self.sessions[name] = onnxruntime.InferenceSession(path, providers=self.providers)
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, inputs)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="the model folder")
    add_arguments(parser)
    arguments = parser.parse_args()
    main(arguments, Client(arguments.model, Graphs(arguments.model), arguments.precision))
