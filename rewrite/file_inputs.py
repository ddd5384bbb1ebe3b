"""Inputs for a file whose model is not at hand: drawn by the types and shapes that it says."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np
import onnx

from rewrite.errors import UsageError
from rewrite.runtimes import Array

_ROWS, _OTHERS = 4, 32
"""Sizes of dynamic dimensions: the first of an input, and the others."""
_IDS = 2
"""Integers are below it where no table is looked up: 0 and 1 suit masks, kinds and positions."""
_STEPS = re.compile(r"(\d+)\*(\w+)")
_PASSED = ("Cast", "DequantizeLinear", "Identity", "Reshape", "Squeeze", "Unsqueeze")
"""What stands between an input and the indices of a table, or between a table and its values."""


def draw_inputs(model: onnx.ModelProto, sizes: Mapping[str, int], seed: int) -> dict[str, Array]:
    """Return inputs by name: normal floats, integers that every table they index holds.

    Args:
        model: its inputs that are no initializers are drawn.
        sizes: of dynamic dimensions, by name; those that are left out are chosen.
        seed: of the draw.

    Raises:
        UsageError: for an input that is no tensor of numbers.
    """
    chosen = {**dynamic_sizes(model), **sizes}
    random = np.random.default_rng(seed)
    return {each.name: _draw(each, chosen, model.graph, random) for each in _inputs(model)}


def dynamic_sizes(model: onnx.ModelProto) -> dict[str, int]:
    """Return the dynamic dimensions of a file's inputs, and the sizes chosen; of 8*h that is h."""
    found: dict[str, int] = {}
    for each in _inputs(model):
        for axis, dim in enumerate(each.type.tensor_type.shape.dim):
            steps = _STEPS.fullmatch(dim.dim_param)
            name, step = (steps[2], int(steps[1])) if steps else (dim.dim_param, 1)
            wanted = _OTHERS if axis else _ROWS
            if name:
                found.setdefault(name, max(1, wanted // max(step, 1)))
    return found


def _inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    constants = {tensor.name for tensor in model.graph.initializer}
    return [each for each in model.graph.input if each.name not in constants]


def _draw(
    value: onnx.ValueInfoProto,
    sizes: Mapping[str, int],
    graph: onnx.GraphProto,
    random: np.random.Generator,
) -> Array:
    tensor = value.type.tensor_type
    kind = tensor.elem_type
    if kind in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING):
        raise UsageError(f"input '{value.name}' is no tensor of numbers", hint="nothing draws it")
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind)
    shape = [_size(dim, axis, sizes) for axis, dim in enumerate(tensor.shape.dim)]
    if dtype == np.bool_:
        return random.integers(0, 2, shape).astype(np.bool_)
    if dtype.kind in "iu":
        return random.integers(0, _bound(value.name, graph), shape).astype(dtype)
    return random.normal(size=shape).astype(dtype)


def _size(dim: onnx.TensorShapeProto.Dimension, axis: int, sizes: Mapping[str, int]) -> int:
    if dim.HasField("dim_value"):
        return int(dim.dim_value)
    steps = _STEPS.fullmatch(dim.dim_param)
    if steps:
        return int(steps[1]) * sizes[steps[2]]
    return sizes.get(dim.dim_param, _OTHERS if axis else _ROWS)


def _bound(name: str, graph: onnx.GraphProto) -> int:
    """Return what indices of that name must stay below: the smallest table that they look up."""
    makers = {output: node for node in graph.node for output in node.output}
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    found = math.inf
    for node in graph.node:
        if node.op_type != "Gather" or _source(node.input[1], makers) != name:
            continue
        shape = shapes.get(_source(node.input[0], makers))
        axis = next((each.i for each in node.attribute if each.name == "axis"), 0)
        if shape:
            found = min(found, shape[axis])
    return int(found) if math.isfinite(found) else _IDS


def _source(name: str, makers: Mapping[str, onnx.NodeProto]) -> str:
    while name in makers and makers[name].op_type in _PASSED:
        name = makers[name].input[0]
    return name
