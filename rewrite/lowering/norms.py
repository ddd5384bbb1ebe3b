"""Norms of what comes from integers, or of what is multiplied by a constant, in quantized files."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rewrite.lowering.barrier import same
from rewrite.lowering.dequantized import constant_of, is_zero

_NORMS = ("GroupNormalization", "InstanceNormalization", "LayerNormalization")
_LAST_AXIS = "LayerNormalization"
_FACTORS = ("Div", "Mul")
_CONVOLUTIONS = ("Conv", "ConvTranspose")
_PASSED = (
    "AveragePool",
    "Cast",
    "Clip",
    "Dropout",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "LeakyRelu",
    "MaxPool",
    "Neg",
    "PRelu",
    "Pad",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Resize",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
)
"""What OpenVINO moves a factor past."""
_EPSILON = 1e-5
"""What ONNX takes where a norm names none."""
_NEGLIGIBLE = 0.1
"""Up to this many squared steps an epsilon says less than the rounding of its input."""
_NO_ROUNDING = 0.0
"""The step of what is no integer: every epsilon says more."""


def hold_norms(model: ir.Model) -> None:
    """Put max(x, lowest) = x in front of a norm of a value times a constant, in place.

    In a file with quantizers, OpenVINO 2026.4 takes a multiplication by a constant s for the scale
    of integers, as that of a DequantizeLinear, and moves it past a norm, which does not change its
    result but for ε: that of what was multiplied is ε/s², and OpenVINO keeps ε. Where ε/s² is about
    the variance that rounding itself makes, 1/12 of a squared step, this is nothing. Past a sum,
    as with a bias or a zero point, nothing is moved.
    """
    if not any(node.op_type == "QuantizeLinear" for node in model.graph):
        return
    for node in list(model.graph):
        value = node.inputs[0] if node.op_type in _NORMS else None
        step = _step_of(value, node.op_type == _LAST_AXIS)
        if value is None or step is None:
            continue
        given = node.attributes.get("epsilon")
        epsilon = _EPSILON if given is None else given.as_float()
        if epsilon <= _NEGLIGIBLE * step**2:
            continue
        copy = same(model, value, f"{node.name}_held")
        model.graph.insert_before(node, copy)
        node.replace_input_with(0, copy.outputs[0])


def _step_of(value: ir.Value | None, last_axis: bool) -> float | None:
    """Return how coarse a value is that is something times a constant; None where it is not.

    Args:
        value: what a norm reads.
        last_axis: whether the norm is over the last axis: past it no factors of its own go.
    """
    while value is not None and (node := value.producer()) is not None:
        if node.op_type == "DequantizeLinear":
            scale, point = (_number(v) for v in (*node.inputs[1:3], None)[:2])
            return None if scale is None or point else scale
        if node.op_type in _CONVOLUTIONS:
            return _step_of_sums(node)
        if node.op_type in _FACTORS and (factor := _factor(node)) is not None:
            alike = not last_axis or factor.ndim == 0 or factor.shape[-1] == 1
            return _NO_ROUNDING if alike else None
        if node.op_type not in _PASSED:
            return None
        value = node.inputs[0]
    return None


def _step_of_sums(node: ir.Node) -> float | None:
    """Return by how much a step of the input changes the output of a convolution without a bias.

    A sum of integers x·w is as coarse as Σw² roundings of x are: scale(x)·‖w‖ of a channel.
    """
    read, weight, *biases = node.inputs
    if read is None or weight is None or not all(b is None or is_zero(b) for b in biases):
        return None
    given, taps = read.producer(), weight.producer()
    if not all(n is not None and n.op_type == "DequantizeLinear" for n in (given, taps)):
        return None
    assert given is not None
    assert taps is not None
    scale, integers = _number(given.inputs[1]), constant_of(taps.inputs[0])
    scales = constant_of(taps.inputs[1])
    if scale is None or integers is None or scales is None:
        return None
    axis = 0 if node.op_type == "Conv" else 1
    rows = np.moveaxis(integers.astype(np.float64), axis, 0).reshape(integers.shape[axis], -1)
    return scale * float((np.linalg.norm(rows, axis=1) * np.abs(scales.reshape(-1))).min())


def _factor(node: ir.Node) -> np.ndarray | None:
    """Return the constant that a node multiplies by or divides by."""
    left, right = (constant_of(value) for value in node.inputs)
    return right if right is not None or node.op_type == "Div" else left


def _number(value: ir.Value | None) -> float | None:
    """Return a constant that is a single number."""
    found = constant_of(value)
    return float(found.reshape(-1)[0]) if found is not None and found.size == 1 else None
