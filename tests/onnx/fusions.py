"""Says which fusions ONNX Runtime applies to exported graphs, from the model that it writes after its optimizations.

    pip install onnx onnxruntime==1.31.1
    python tests/onnx/fusions.py FILE.onnx...
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path

import onnx
import onnxruntime


def operators(path):
    return Counter(node.op_type for node in onnx.load(path, load_external_data=False).graph.node)


def main(paths):
    for path in paths:
        with tempfile.TemporaryDirectory() as folder:
            options = onnxruntime.SessionOptions()
            options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
            options.log_severity_level = 3
            onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            before, after = operators(path), operators(options.optimized_model_filepath)
        print(f"{path}: {before.total()} nodes, {after.total()} after the optimizations")
        for operator in sorted(before | after):
            if before[operator] != after[operator]:
                print(f"  {operator:<24} {before[operator]:>4} -> {after[operator]}")


if __name__ == "__main__":
    main(sys.argv[1:])
