"""Holds exported graphs to onnx's own checker and shape inference.

    python tests/onnx/check.py FOLDER_OR_FILE...

Every graph must pass the checker in full, and strict shape inference must find the declared type and rank of every output,
with no extent that contradicts the declaration. Exit status 1 where one fails; each failure is a line.
"""

import sys
from pathlib import Path

import onnx
from onnx import checker, shape_inference


def extents(info):
    """Extents of a value: numbers, names, or None where unknown; None for a value without a shape."""
    tensor = info.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in tensor.shape.dim]


def check(path):
    """What is wrong with a graph; nothing if it is right."""
    model = onnx.load(path)
    try:
        checker.check_model(model, full_check=True)
    except (checker.ValidationError, shape_inference.InferenceError) as error:
        return f"the checker says: {error}"
    declared = {output.name: output for output in model.graph.output}
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    for output in bare.graph.output:
        output.type.tensor_type.ClearField("shape")
    try:
        inferred = shape_inference.infer_shapes(bare, check_type=True, strict_mode=True, data_prop=True)
    except shape_inference.InferenceError as error:
        return f"shape inference says: {error}"
    for output in inferred.graph.output:
        known = declared[output.name]
        if output.type.tensor_type.elem_type != known.type.tensor_type.elem_type:
            return f"output `{output.name}` is declared in another type than inferred"
        found, expected = extents(output), extents(known)
        if found is None:
            continue
        numbers = lambda pair: all(isinstance(extent, int) for extent in pair)
        if len(found) != len(expected) or any(a != b for a, b in zip(found, expected) if numbers((a, b))):
            return f"output `{output.name}` is declared as {expected}, inferred as {found}"
    return None


def main(arguments):
    places = [Path(argument) for argument in arguments]
    graphs = [graph for place in places for graph in (sorted(place.rglob("*.onnx")) if place.is_dir() else [place])]
    if not graphs:
        sys.exit(f"no graphs in {', '.join(arguments) or 'no folder'}")
    failures = [(graph, reason) for graph in graphs if (reason := check(graph))]
    for graph, reason in failures:
        print(f"{graph}: {reason}")
    print(f"onnx {onnx.__version__}: {len(graphs) - len(failures)} of {len(graphs)} graphs pass")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
