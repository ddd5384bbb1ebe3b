"""Pass `expand-attention`."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from rewrite import (
    Emitter,
    Match,
    Op,
    Program,
    Reject,
    Rule,
    RulePass,
    argument,
    arguments,
    is_call,
)
from rewrite.checks.finite import all_finite

aten = torch.ops.aten
_LOWEST = torch.finfo(torch.float32).min
_WIDE = (torch.float32, torch.float64)
_LAYOUT = (aten.reshape.default, aten.permute.default, aten.transpose.int, aten.unsqueeze.default)


@dataclass(frozen=True)
class ExpandAttention(RulePass):
    """Write attention as products and a softmax, without a guard against blank rows it cannot have.

    The scale goes into the query's weights where the query is a linear layer's alone.
    """

    name = "expand-attention"
    equivalence = "exact"

    def rules(self) -> list[Rule]:
        """One rule; it remembers masks, so that all layers share them."""
        return [AttentionIsProducts()]


class AttentionIsProducts(Rule):
    """attention(q, k, v, M, c) = softmax((c·q)·kᵀ + M)·v, rows that M blanks being 0."""

    pattern = Op(aten.scaled_dot_product_attention.default, "attention")

    def __init__(self) -> None:
        self._masks: dict[Any, tuple[fx.Node | None, fx.Node | None]] = {}

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline for dropout, heads of dynamic number or size, and masks in half precision."""
        bound = arguments(match.root)
        if bound["dropout_p"]:
            return "it drops out attention weights"
        width = bound["query"].meta["val"].shape[-1]
        if bound["scale"] is None and not isinstance(width, int):
            return "its head size is not constant"
        if bound["enable_gqa"] and not all(
            isinstance(bound[n].meta["val"].shape[-3], int) for n in ("query", "key", "value")
        ):
            return "its numbers of heads are not constant"
        dtype = bound["query"].meta["val"].dtype
        if (bound["attn_mask"] is not None or bound["is_causal"]) and dtype not in _WIDE:
            return f"it masks {dtype} scores, whose range has no room for a mask value"
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit scores, softmax and context."""
        root = match.root
        bound = arguments(root)
        query, key, value = bound["query"], bound["key"], bound["value"]
        if bound["enable_gqa"]:
            heads = query.meta["val"].shape[-3]
            key, value = (_repeat_heads(n, heads, root, emit) for n in (key, value))
        scale = bound["scale"]
        if scale is None:
            scale = 1 / math.sqrt(query.meta["val"].shape[-1])
        # What is read as keys or values too must not change.
        origin = None if query in (key, value) else _origin(query)
        query = _scaled(query, scale, origin, root, emit)
        scores = emit.call(aten.matmul.default, like=root, self=query, other=_flip(key, root, emit))
        additive, visible = self._mask(bound, root, emit)
        if additive is not None:
            scores = emit.call(aten.add.Tensor, like=root, self=scores, other=additive)
        weights = emit.call(aten.softmax.int, like=root, self=scores, dim=-1)
        context = emit.call(aten.matmul.default, like=root, self=weights, other=value)
        if visible is not None:
            context = emit.call(aten.mul.Tensor, like=root, self=context, other=visible)
        return context

    def _mask(
        self, bound: dict[str, Any], root: fx.Node, emit: Emitter
    ) -> tuple[fx.Node | None, fx.Node | None]:
        """Return (additive mask, 1 for rows that see anything), each None when not needed."""
        mask: fx.Node | None = bound["attn_mask"]
        if mask is None and not bound["is_causal"]:
            return None, None
        key: Any = mask
        if mask is None:
            sizes = (bound["query"].meta["val"].shape[-2], bound["key"].meta["val"].shape[-2])
            key = tuple(str(s) for s in sizes)
        made = self._masks.get(key)
        if made is None or any(n is not None and n._erased for n in made):
            made = _causal(bound, root, emit) if mask is None else _given(mask, root, emit)
            self._masks[key] = made
        return made


def _given(mask: fx.Node, root: fx.Node, emit: Emitter) -> tuple[fx.Node, fx.Node | None]:
    dtype = root.meta["val"].dtype
    if mask.meta["val"].dtype == torch.bool:
        additive = _where(mask, root, emit)
        seen = mask
    elif _is_finite(mask, emit, depth=8):
        return mask, None
    else:
        additive = emit.call(aten.clamp.default, like=root, self=mask, min=_LOWEST)
        seen = emit.call(aten.ne.Scalar, like=root, self=mask, other=-math.inf)
    if _sees_something(mask, emit):
        return additive, None
    rows = emit.call(aten.any.dim, like=root, self=seen, dim=-1, keepdim=True)
    return additive, emit.call(aten._to_copy.default, like=root, self=rows, dtype=dtype)


def _causal(bound: dict[str, Any], root: fx.Node, emit: Emitter) -> tuple[fx.Node, None]:
    """Every row sees at least the first key, so no row is blank."""
    ranges = []
    for name in ("query", "key"):
        node: fx.Node = bound[name]
        size: Any = node.meta["val"].shape[-2]
        if not isinstance(size, int):
            rank = node.meta["val"].dim()
            size = emit.call(aten.sym_size.int, like=root, self=node, dim=rank - 2)
        ranges.append(emit.call(aten.arange.default, like=root, end=size))
    rows = emit.call(aten.unsqueeze.default, like=root, self=ranges[0], dim=1)
    visible = emit.call(aten.ge.Tensor, like=root, self=rows, other=ranges[1])
    return _where(visible, root, emit), None


def _where(visible: fx.Node, root: fx.Node, emit: Emitter) -> fx.Node:
    return emit.call(aten.where.Scalar, like=root, condition=visible, self=0.0, other=_LOWEST)


def _flip(key: fx.Node, root: fx.Node, emit: Emitter) -> fx.Node:
    """Transpose the last two dimensions, through a permute the key comes from."""
    rank = key.meta["val"].dim()
    dims = [*range(rank - 2), rank - 1, rank - 2]
    if is_call(key, aten.permute.default):
        inner = argument(key, "dims")
        dims = [inner[d] for d in dims]
        key = argument(key, "self")
    elif is_call(key, aten.transpose.int):
        swap = list(range(rank))
        first, second = argument(key, "dim0") % rank, argument(key, "dim1") % rank
        swap[first], swap[second] = swap[second], swap[first]
        dims = [swap[d] for d in dims]
        key = argument(key, "self")
    return emit.call(aten.permute.default, like=root, self=key, dims=dims)


def _repeat_heads(node: fx.Node, heads: int, root: fx.Node, emit: Emitter) -> fx.Node:
    shape = list(node.meta["val"].shape)
    own = shape[-3]
    if own == heads:
        return node
    rank = len(shape)
    sizes: list[Any] = [
        s if isinstance(s, int) else emit.call(aten.sym_size.int, like=root, self=node, dim=i)
        for i, s in enumerate(shape)
    ]
    wide = emit.call(aten.unsqueeze.default, like=root, self=node, dim=rank - 2)
    spread = [*sizes[:-2], heads // own, *sizes[-2:]]
    wide = emit.call(aten.expand.default, like=root, self=wide, size=spread)
    return emit.call(
        aten.reshape.default, like=root, self=wide, shape=[*sizes[:-3], heads, *sizes[-2:]]
    )


def _scaled(
    query: fx.Node,
    scale: float,
    origin: tuple[fx.Node, int, int] | None,
    root: fx.Node,
    emit: Emitter,
) -> fx.Node:
    """Scale the query: in the weights of the layer that makes it, or by a multiplication."""
    if scale == 1:
        return query
    if origin is None:
        return emit.call(aten.mul.Tensor, like=root, self=query, other=scale)
    layer, first, last = origin
    recipe = ("scale-rows", first, last, scale)
    changed: dict[str, fx.Node] = {}
    for name in ("weight", "bias"):
        node = argument(layer, name)
        if node is None:
            continue
        values = emit.tensor(node).clone()
        values[first:last] *= scale
        changed[name] = emit.weight(values, source=str(node.target), recipe=recipe)
    emit.set_arguments(layer, **changed)
    return query


def _origin(query: fx.Node) -> tuple[fx.Node, int, int] | None:
    """Return (linear layer, first row, last row) whose output the query alone reads, if so."""
    node = query
    while is_call(node, *_LAYOUT) and len(node.users) == 1:
        node = argument(node, "self")
    if len(node.users) != 1:
        return None
    first, last = 0, -1
    if node.target is operator.getitem:
        part, index = argument(node, "self"), argument(node, "index")
        if not is_call(part, aten.split_with_sizes.default):
            return None
        bound = arguments(part)
        rank = bound["self"].meta["val"].dim()
        if bound["dim"] % rank != rank - 1:
            return None
        first = sum(bound["split_sizes"][:index])
        last = first + bound["split_sizes"][index]
        node = bound["self"]
    if not is_call(node, aten.linear.default) or len(node.users) != 1:
        return None
    weights = [argument(node, n) for n in ("weight", "bias")]
    if any(w is not None and w.op != "get_attr" for w in weights):
        return None
    return node, first, (last if last >= 0 else int(weights[0].meta["val"].shape[0]))


def _is_finite(node: Any, emit: Emitter, depth: int) -> bool:
    """Prove that a mask holds no infinity, from how it is computed."""
    if isinstance(node, (int, float)):
        return math.isfinite(node)
    if not isinstance(node, fx.Node) or depth == 0:
        return False
    if node.op == "get_attr":
        return all_finite(emit.tensor(node))
    if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
        return False
    if not node.meta["val"].dtype.is_floating_point:
        return True
    keeps = (
        aten.where, aten.expand, aten.reshape, aten.unsqueeze, aten.slice, aten._to_copy,
        aten.select, aten.permute, aten.add, aten.full, aten.full_like, aten.scalar_tensor,
        aten.rsub, aten.sub, aten.zeros, aten.index, aten.masked_fill,
    )  # fmt: skip
    if node.target.overloadpacket not in (*keeps, aten.mul):
        return False
    values = {
        n: v
        for n, v in arguments(node).items()
        if n in ("self", "other", "value", "fill_value", "input", "s")
    }
    return all(_is_finite(v, emit, depth - 1) for v in values.values() if v is not None)


def _sees_something(mask: fx.Node, emit: Emitter) -> bool:
    """Prove that a constant mask leaves every row something to see."""
    if mask.op != "get_attr":
        return False
    values = emit.tensor(mask)
    seen = values if values.dtype == torch.bool else values != -math.inf
    return bool(seen.any(-1).all())
