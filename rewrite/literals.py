"""The values that patterns look at: literals, operators and what to call them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import fx


def overloads(targets: tuple[Any, ...]) -> Iterator[Any]:
    """Yield every overload that the targets stand for."""
    for target in targets:
        if isinstance(target, torch._ops.OpOverloadPacket):
            names: list[str] = target.overloads()  # type: ignore[no-untyped-call]
            for name in names:
                yield getattr(target, name)
        else:
            yield target


def literal(value: Any) -> Any:
    """Return the number a weight of one element holds, any other value as it is."""
    if not isinstance(value, fx.Node) or value.op != "get_attr":
        return value
    owner: Any = value.graph.owning_module
    for part in str(value.target).split("."):
        owner = getattr(owner, part, None)
    is_number = isinstance(owner, torch.Tensor) and owner.numel() == 1
    return owner.item() if is_number else value


def operator_name(target: Any) -> str:
    """Return the name of an operator as its schema has it."""
    schema = getattr(target, "_schema", None)
    if schema is None:
        return str(getattr(target, "__name__", target))
    return str(schema.name).removeprefix("aten::")


def describe_value(value: Any) -> str:
    """Say in a few words what an argument is."""
    if isinstance(value, fx.Node):
        if value.op == "call_function":
            return operator_name(value.target)
        return {"placeholder": "a graph input", "get_attr": "a weight"}.get(value.op, value.op)
    return str(value)


def equal_constants(left: Any, right: Any) -> bool:
    """Compare two literals, floats with a relative tolerance of 1e-6."""
    if isinstance(left, fx.Node) or isinstance(right, fx.Node):
        return left is right
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(
            equal_constants(a, b) for a, b in zip(left, right, strict=True)
        )
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return math.isclose(left, right, rel_tol=1e-6)
    return type(left) is type(right) and bool(left == right)
