"""Equal calls of equal arguments are one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from rewrite.emitter import Emitter

if TYPE_CHECKING:
    from rewrite.program import Program


def merge_common_calls(program: Program) -> int:
    """Let equal pure calls share one node, such as masks built in every layer; return how many."""
    emit = Emitter(program)
    first: dict[Any, fx.Node] = {}
    merged = 0
    for node in list(program.graph.nodes):
        key = _key(node)
        if key is None:
            continue
        known = first.setdefault(key, node)
        if known is not node:
            node.replace_all_uses_with(known)
            emit.erase_dead(node)
            merged += 1
    return merged


def is_pure(target: Any) -> bool:
    """Tell whether a call depends on its arguments alone and writes nothing."""
    if not isinstance(target, torch._ops.OpOverload):
        return getattr(target, "__module__", "") in ("_operator", "math", "torch")
    tags = (torch.Tag.nondeterministic_seeded, torch.Tag.nondeterministic_bitwise)
    if target._schema.is_mutable or any(tag in target.tags for tag in tags):
        return False
    return "empty" not in target._schema.name


def _key(node: fx.Node) -> Any:
    if node.op == "get_attr":
        return ("weight", node.target)
    if node.op != "call_function" or not is_pure(node.target):
        return None
    return (node.target, _freeze(node.args), _freeze(dict(node.kwargs)))


def _freeze(value: Any) -> Any:
    # The type is part of the key because 1, 1.0 and True are equal and mean three things.
    if isinstance(value, (list, tuple)):
        return tuple(_freeze(v) for v in value)
    if isinstance(value, dict):
        return tuple((k, _freeze(v)) for k, v in sorted(value.items()))
    if isinstance(value, slice):
        return ("slice", _freeze((value.start, value.stop, value.step)))
    if isinstance(value, fx.Node):
        return value
    return (type(value), repr(value) if isinstance(value, float) else value)
