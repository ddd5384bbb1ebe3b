"""GELUs by tanh with factors of their own, which a runtime would compute with those it knows."""

from __future__ import annotations

import math

import onnx_ir as ir

from rewrite.lowering.barrier import same

_FACTOR, _CUBIC = math.sqrt(2 / math.pi), 0.044715
_TAKEN = {_FACTOR: 0.0101, _CUBIC: 0.0011}
"""How far off OpenVINO takes a factor for the one of GELU, with a margin."""
_EXACT = 1e-6
"""Relative: what a number of float32 differs by when it is written out."""


def hold_gelus(model: ir.Model) -> None:
    """Put max(x, lowest) = x in front of a tanh whose factors are only nearly those of GELU.

    x/2·(1 + tanh(c·(x + kx³))) is one kernel of OpenVINO for c within 0.01 of √(2/π) and k within
    0.001 of 0.044715, and that computes with these: for c = 0.8 its error is 7e-4.
    """
    for node in list(model.graph):
        if node.op_type != "Tanh" or node.inputs[0] is None:
            continue
        factor, sum_ = _factor(node.inputs[0], _FACTOR)
        cubics = [_factor(side, _CUBIC)[0] for side in _sides(sum_, "Add")]
        cubic = next((each for each in cubics if each is not None), None)
        if factor is None or cubic is None or (_is(factor, _FACTOR) and _is(cubic, _CUBIC)):
            continue
        copy = same(model, node.inputs[0], f"{node.name}_held")
        model.graph.insert_before(node, copy)
        node.replace_input_with(0, copy.outputs[0])


def _factor(value: ir.Value | None, near: float) -> tuple[float | None, ir.Value | None]:
    """Return the number near to another that a product has for a factor, and the other factor."""
    sides = _sides(value, "Mul")
    for side, other in zip(sides, sides[::-1], strict=True):
        number = _number(side)
        if number is not None and abs(number - near) < _TAKEN[near]:
            return number, other
    return None, None


def _sides(value: ir.Value | None, op_type: str) -> list[ir.Value | None]:
    node = value.producer() if value is not None else None
    return list(node.inputs) if node is not None and node.op_type == op_type else []


def _number(value: ir.Value | None) -> float | None:
    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return float(tensor.numpy().reshape(-1)[0]) if tensor is not None and tensor.size == 1 else None


def _is(number: float, wanted: float) -> bool:
    return math.isclose(number, wanted, rel_tol=_EXACT)
