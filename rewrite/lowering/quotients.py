"""Quotients for a runtime that multiplies by the reciprocal, and divides integers as floats."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from rewrite.lowering.constants import constant
from rewrite.lowering.dequantized import constant_of, type_of

_INTEGERS = (ir.DataType.INT32, ir.DataType.INT64)
_STEPS = ("Ceil", "Floor", "Round")
_SHAPES = ("Shape", "Size")
Emit = Callable[..., ir.Value]


def divide_whole_numbers(model: ir.Model) -> None:
    """Let floor(x / n), and what else is a step, see k where x is k·n: k if k·n = x, else x / n.

    OpenVINO 2026.4 computes x / 7 as x · (1/7), so that -49 / 7 is a little less than -7. A whole
    divisor makes k·n exact; powers of two have an exact reciprocal.
    """
    for node in list(model.graph):
        if node.op_type != "Div" or type_of(node.outputs[0]) != ir.DataType.FLOAT:
            continue
        x, divisor = node.inputs
        if _is_whole(constant_of(divisor)) and _meets_step(node.outputs[0]):
            emit, made = _emitter(node)
            quotient = emit("Div", x, divisor)
            nearest = emit("Round", quotient)
            product = emit("Mul", nearest, divisor)
            is_exact = emit("Equal", product, x)
            _replace(model, node, made, emit("Where", is_exact, nearest, quotient))


def divide_integers(model: ir.Model) -> None:
    """Write a mod b as (a - q·b) mod b with q near a / b, and quotients of multiples alike.

    OpenVINO 2026.4 computes both as floats, which have 24 bits, and products and sums exactly.
    Sizes are small enough.
    """
    for node in list(model.graph):
        kind = type_of(node.outputs[0]) if node.op_type in ("Div", "Mod") else None
        a, b = node.inputs[:2] if kind in _INTEGERS else (None, None)
        if kind is None or a is None or b is None or _is_size(a):
            continue
        emit, made = _emitter(node)
        quotient = emit("Div", a, b)
        rest = emit("Sub", a, emit("Mul", quotient, b))
        if node.op_type == "Div" and _is_multiple(a, b):
            _replace(model, node, made, emit("Add", quotient, emit("Div", rest, b)))
            continue
        small = emit("Mod", rest, b)
        if node.op_type == "Mod" and not node.attributes.get_int("fmod", 0):
            _replace(model, node, made, small)
            continue
        zero = constant(model, "zero_integer", np.array(0, kind.numpy()))
        # Where a and b have two signs, what is rounded down is not what is rounded towards 0.
        signs = [emit("Less", side, zero) for side in (a, b)]
        apart = emit("Xor", *signs)
        across = emit("And", apart, emit("Not", emit("Equal", small, zero)))
        one = emit("Cast", across, to=int(kind))
        if node.op_type == "Mod":
            _replace(model, node, made, emit("Sub", small, emit("Mul", one, b)))
            continue
        floor = emit("Add", quotient, emit("Div", emit("Sub", rest, small), b))
        _replace(model, node, made, emit("Add", floor, one))


def _is_multiple(a: ir.Value, b: ir.Value) -> bool:
    """Tell whether a is x - x mod b."""
    difference = a.producer()
    if difference is None or difference.op_type != "Sub" or difference.inputs[1] is None:
        return False
    rest = difference.inputs[1].producer()
    return rest is not None and rest.op_type == "Mod" and rest.inputs[1] is b


def _is_whole(divisor: np.ndarray | None) -> bool:
    """Tell whether a divisor is of whole numbers, of which one is no power of two."""
    if divisor is None or divisor.size == 0 or not np.isfinite(divisor).all():
        return False
    whole = bool((divisor == np.floor(divisor)).all()) and bool((divisor != 0).all())
    return whole and bool((np.frexp(np.abs(divisor))[0] != 0.5).any())


def _meets_step(value: ir.Value) -> bool:
    """Tell whether a value is rounded to whole numbers, maybe its absolute value."""
    for use in value.uses():
        reader = use.node
        if reader.op_type in _STEPS:
            return True
        if reader.op_type == "Cast" and type_of(reader.outputs[0]) in _INTEGERS:
            return True
        if reader.op_type == "Abs" and _meets_step(reader.outputs[0]):
            return True
    return False


def _is_size(value: ir.Value) -> bool:
    """Tell whether a value is computed from shapes and constants alone."""
    node = value.producer()
    if node is None:
        return constant_of(value) is not None
    if node.op_type in _SHAPES:
        return True
    return all(each is None or _is_size(each) for each in node.inputs)


def _emitter(node: ir.Node) -> tuple[Emit, list[ir.Node]]:
    """Return what makes a node in the place of another one, and those that it made."""
    made: list[ir.Node] = []

    def emit(kind: str, *inputs: ir.Value | None, **attributes: int) -> ir.Value:
        name = f"{node.name}_{len(made)}"
        new = ir.node(kind, inputs, attributes=attributes, name=name)
        new.meta.update(node.meta)
        value = new.outputs[0]
        value.name = f"{name}_out"
        made.append(new)
        return value

    return emit, made


def _replace(model: ir.Model, node: ir.Node, made: list[ir.Node], value: ir.Value) -> None:
    output = node.outputs[0]
    value.name, value.type, value.shape = output.name, output.type, output.shape
    ir.convenience.replace_nodes_and_values(model.graph, node, [node], made, [output], [value])
