"""Calls that change nothing in an inference program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from rewrite.emitter import Emitter
from rewrite.schema import arguments, is_call

if TYPE_CHECKING:
    from rewrite.program import Program

aten = torch.ops.aten
_FORWARDING = (
    aten.clone.default,
    aten.contiguous.default,
    aten.detach.default,
    aten.detach_.default,
    aten.alias.default,
    aten.lift_fresh_copy.default,
    aten.lift_fresh.default,
)
_ASSERTIONS = (aten._assert_tensor_metadata.default,)
_TO_END = 2**62


def drop_no_ops(program: Program) -> int:
    """Remove copies, casts, slices and reshapes that change nothing; return how many."""
    emit = Emitter(program)
    removed = 0
    for node in list(program.graph.nodes):
        if node.op != "call_function":
            continue
        if is_call(node, *_ASSERTIONS):
            emit.erase_dead(node)
            removed += 1
            continue
        source = _forwarded(node)
        if source is not None:
            node.replace_all_uses_with(source)
            emit.erase_dead(node)
            removed += 1
    return removed


def _forwarded(node: fx.Node) -> fx.Node | None:
    """Return the node whose value `node` repeats, if it does."""
    if is_call(node, *_FORWARDING):
        return _source(node)
    if is_call(node, aten.dropout.default) and not arguments(node)["train"]:
        return _source(node)
    same_type = (
        aten._to_copy.default,
        aten.to.dtype,
        aten.to.device,
        aten.to.dtype_layout,
        aten.type_as.default,
        aten.expand.default,
        aten.reshape.default,
        aten.view.default,
    )
    if is_call(node, *same_type):
        source = _source(node)
        return source if _same_type(source, node) else None
    if is_call(node, aten.slice.Tensor):
        bound = arguments(node)
        whole = (bound["start"] or 0) == 0 and bound["step"] == 1
        end = bound["end"]
        if whole and (end is None or (isinstance(end, int) and end >= _TO_END)):
            return _source(node)
    return None


def _source(node: fx.Node) -> fx.Node | None:
    value = arguments(node).get("self", arguments(node).get("input"))
    return value if isinstance(value, fx.Node) else None


def _same_type(source: fx.Node | None, node: fx.Node) -> bool:
    if source is None:
        return False
    before: Any = source.meta.get("val")
    after: Any = node.meta.get("val")
    if not isinstance(before, torch.Tensor) or not isinstance(after, torch.Tensor):
        return False
    if before.dtype != after.dtype or before.dim() != after.dim():
        return False
    return all(_same_size(a, b) for a, b in zip(before.shape, after.shape, strict=True))


def _same_size(left: Any, right: Any) -> bool:
    if isinstance(left, int) and isinstance(right, int):
        return left == right
    return str(left) == str(right)
