"""Calls that change nothing in an inference program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import fx

from rewrite.canonical.common_calls import is_pure
from rewrite.canonical.values import device, dtype, number, same_shape, shape
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
_DROPOUTS = (aten.dropout.default, aten.feature_dropout.default, aten.alpha_dropout.default)
_MAYBE_SAME = (
    aten._to_copy.default,
    aten.to.dtype,
    aten.to.device,
    aten.to.dtype_layout,
    aten.type_as.default,
    aten.expand.default,
    aten.reshape.default,
    aten.squeeze.default,
    aten.squeeze.dim,
    aten.squeeze.dims,
    aten.view.default,
)
_ASSERTIONS = (aten._assert_tensor_metadata.default,)
_TO_END = 2**62


def drop_no_ops(program: Program) -> int:
    """Remove calls that change nothing, and calls that nobody reads; return how many."""
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
    for node in reversed(list(program.graph.nodes)):
        if node.op == "call_function" and not node.users and is_pure(node.target):
            emit.erase_dead(node)
            removed += 1
    return removed


def _forwarded(node: fx.Node) -> fx.Node | None:
    """Return the node whose value `node` repeats, if it does."""
    if is_call(node, *_FORWARDING):
        return _source(node)
    if is_call(node, *_DROPOUTS) and not arguments(node)["train"]:
        return _source(node)
    if is_call(node, *_MAYBE_SAME) or _is_neutral(node) or _writes_nothing(node):
        source = _source(node)
        return source if _same_type(source, node) else None
    return None


def _is_neutral(node: fx.Node) -> bool:
    """Tell whether a call adds 0, multiplies by 1, pads by nothing or slices everything."""
    if is_call(node, aten.add.Tensor, aten.sub.Tensor):
        return number(arguments(node)["other"]) == 0
    if is_call(node, aten.mul.Tensor, aten.div.Tensor):
        return number(arguments(node)["other"]) == 1
    if is_call(node, aten.pad.default, aten.constant_pad_nd.default):
        return all(isinstance(a, int) and a == 0 for a in arguments(node)["pad"])
    if is_call(node, aten.slice.Tensor):
        bound = arguments(node)
        end = bound["end"]
        to_end = end is None or (isinstance(end, int) and end >= _TO_END)
        return (bound["start"] or 0) == 0 and bound["step"] == 1 and to_end
    return False


def _writes_nothing(node: fx.Node) -> bool:
    """Tell whether a call writes a tensor without elements into another one."""
    if not is_call(node, aten.slice_scatter.default, aten.select_scatter.default):
        return False
    written = shape(arguments(node)["src"])
    return written is not None and any(isinstance(n, int) and n == 0 for n in written)


def _source(node: fx.Node) -> fx.Node | None:
    value = arguments(node).get("self", arguments(node).get("input"))
    return value if isinstance(value, fx.Node) else None


def _same_type(source: fx.Node | None, node: fx.Node) -> bool:
    known = dtype(source) is not None and dtype(source) == dtype(node)
    known = known and device(source) == device(node)
    return known and same_shape(shape(source), shape(node))
