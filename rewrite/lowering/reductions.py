"""Reductions of rows of channels, kept apart from what is done to each channel behind them."""

from __future__ import annotations

import onnx_ir as ir

from rewrite.lowering.barrier import itself, put_behind
from rewrite.lowering.dequantized import constant_of, type_of

_POOLS = ("GlobalAveragePool", "GlobalMaxPool")
_INTEGERS = (ir.DataType.INT32, ir.DataType.INT64)
_ALONG = 2
"""The axis of what is reduced, of three: batch, channels, and these."""
_BY_CHANNEL = ("Add", "Div", "Max", "Min", "Mul", "PRelu", "Pow", "Sub")
_ALIKE = (
    *_BY_CHANNEL,
    "Abs",
    "Clip",
    "Elu",
    "Erf",
    "Exp",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Log",
    "Mish",
    "Neg",
    "Reciprocal",
    "Relu",
    "Sigmoid",
    "Softplus",
    "Sqrt",
    "Tanh",
)
"""What keeps the number of dimensions, and OpenVINO takes into a kernel as well."""
_NORMS = ("BatchNormalization", "InstanceNormalization")


def hold_reductions(model: ir.Model) -> None:
    """Put max(y, y) = y between a reduction over the last of three axes and what is by channel.

    OpenVINO 2026.4 takes what is done to each channel into the kernel of the reduction, as a batch
    norm behind the mean over time, and reads the numbers of other channels there, int8 or not. Of
    integers it gets -y and y + 1 wrong as well, over any one of three axes.
    """
    for node in list(model.graph):
        if (_is_of_rows(node) and _meets_channels(node.outputs[0])) or _is_of_integers(node):
            put_behind(model, itself(node.outputs[0], f"{node.name}_held"))


def _is_of_rows(node: ir.Node) -> bool:
    if not node.inputs or _rank(node.inputs[0]) != _ALONG + 1:
        return False
    if node.op_type in _POOLS:
        return True
    return node.op_type.startswith("Reduce") and _axes(node) in ([_ALONG], [-1])


def _is_of_integers(node: ir.Node) -> bool:
    """Tell whether a node reduces integers of three axes in front of an elementwise node."""
    if not node.op_type.startswith("Reduce") or _rank(node.inputs[0]) not in (None, _ALONG + 1):
        return False
    if type_of(node.outputs[0]) not in _INTEGERS:
        return False
    return any(use.node.op_type in _ALIKE for use in node.outputs[0].uses())


def _keeps(node: ir.Node) -> bool:
    given = node.attributes.get("keepdims")
    return given is None or bool(given.as_int())


def _axes(node: ir.Node) -> list[int] | None:
    given = node.attributes.get("axes")
    if given is not None:
        return list(given.as_ints())
    found = constant_of(node.inputs[1]) if len(node.inputs) > 1 else None
    return None if found is None else [int(axis) for axis in found.reshape(-1)]


def _meets_channels(value: ir.Value) -> bool:
    """Tell whether a result, maybe behind other elementwise nodes, meets a constant by channel."""
    readers = [use.node for use in value.uses()]
    if len(readers) != 1 or value.is_graph_output():
        return False
    (reader,) = readers
    if reader.op_type in _NORMS:
        return True
    constants = [constant_of(side) for side in reader.inputs if side is not value]
    if any(found is None for found in constants):
        return False
    if any(found is not None and found.size > 1 for found in constants):
        return reader.op_type in _BY_CHANNEL
    return reader.op_type in _ALIKE and _meets_channels(reader.outputs[0])


def _rank(value: ir.Value | None) -> int | None:
    """Return how many dimensions a value has: the shapes inside of a decomposition are unknown."""
    if value is None:
        return None
    if value.shape is not None:
        return len(value.shape)
    node, known = value.producer(), constant_of(value)
    if known is not None:
        return known.ndim
    if node is not None and node.op_type.startswith("Reduce"):
        return _rank(node.inputs[0]) if _keeps(node) else None
    if node is None or node.op_type not in _ALIKE:
        return None
    ranks = [_rank(side) for side in node.inputs]
    return None if None in ranks else max(rank for rank in ranks if rank is not None)
