"""Norms of what comes from integers."""

from __future__ import annotations

import onnx_ir as ir

from rewrite.lowering.barrier import same

_NORMS = ("GroupNormalization", "InstanceNormalization", "LayerNormalization")
_PASSED = ("Clip", "Identity", "MaxPool", "Relu", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
_EPSILON = 1e-5
"""What ONNX takes where a norm names none."""
_NEGLIGIBLE = 0.1
"""Up to this many squared steps an epsilon says less than the rounding of its input."""


def hold_norms(model: ir.Model) -> None:
    """Put max(x, lowest) = x in front of a norm of small values that come from integers, in place.

    OpenVINO 2026.4 moves the scale s of a DequantizeLinear past a norm, which does not change its
    result but for ε: that of the integers is ε/s², and OpenVINO keeps ε. Where ε/s² is about the
    variance that rounding itself makes, 1/12, this is nothing. Past a zero point nothing is moved.
    """
    for node in list(model.graph):
        value = node.inputs[0] if node.op_type in _NORMS else None
        scale = _scale_of(value)
        if value is None or scale is None:
            continue
        given = node.attributes.get("epsilon")
        epsilon = _EPSILON if given is None else given.as_float()
        if epsilon <= _NEGLIGIBLE * scale**2:
            continue
        copy = same(model, value, f"{node.name}_held")
        model.graph.insert_before(node, copy)
        node.replace_input_with(0, copy.outputs[0])


def _scale_of(value: ir.Value | None) -> float | None:
    """Return the scale of the DequantizeLinear without a zero point that a value comes from."""
    while value is not None and (node := value.producer()) is not None:
        if node.op_type == "DequantizeLinear":
            scale, point = (_number(v) for v in (*node.inputs[1:3], None)[:2])
            return None if scale is None or point else scale
        if node.op_type not in _PASSED:
            return None
        value = node.inputs[0]
    return None


def _number(value: ir.Value | None) -> float | None:
    """Return a constant that is a single number."""
    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return float(tensor.numpy().reshape(-1)[0]) if tensor is not None and tensor.size == 1 else None
