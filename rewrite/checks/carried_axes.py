"""Where the axes of what a call reads are found again in what it returns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import fx

from rewrite.checks.axes import Carried, CarryRule, broadcast, rank, ranked, without
from rewrite.checks.carried_moves import MOVES
from rewrite.elementwise import ACTIVATIONS
from rewrite.quantization.markers import DEQUANTIZE, OBSERVE, QUANTIZE
from rewrite.schema import arguments

aten = torch.ops.aten

_SAME = (*ACTIVATIONS, aten._to_copy.default, aten.prelu.default, aten.triu.default,
         aten.tril.default, aten.contiguous.default, QUANTIZE, DEQUANTIZE, OBSERVE)  # fmt: skip
_ALONG = (
    aten.softmax.int,
    aten._softmax.default,
    aten.log_softmax.int,
    aten._log_softmax.default,
    aten.cumsum.default,
)
"""They mix what lies along `dim`, and keep the shape."""


def carried(node: fx.Node) -> list[Carried]:
    """Return the axes that a call carries on, for every tensor that it reads.

    An axis is carried when slot i of the result along it depends on slot i of what was read alone.
    What is not known to carry an axis is taken not to.
    """
    if node.op != "call_function" or rank(node) is None:
        return []
    target: Any = node.target
    if target in _RULES:
        return list(_RULES[target](node))
    tags = getattr(target, "tags", ())
    if target in _SAME or torch.Tag.pointwise in tags:
        return list(broadcast(node))
    if torch.Tag.reduction in tags or target in _REDUCTIONS:
        return list(_reduction(node))
    if target in _ALONG:
        source = arguments(node)["self"]
        return [(source, without(source, arguments(node)["dim"]))]
    return []


def _reduction(node: fx.Node) -> Iterator[Carried]:
    bound = arguments(node)
    source, dim = bound.get("self"), bound.get("dim")
    if not isinstance(source, fx.Node) or dim is None or dim == []:
        return
    count = ranked(source)
    gone = (
        {d % count for d in (dim if isinstance(dim, (list, tuple)) else (dim,))} if count else {0}
    )
    kept = [a for a in range(count) if a not in gone]
    stay = bool(bound.get("keepdim"))
    yield source, {a: a if stay else place for place, a in enumerate(kept)}


_REDUCTIONS = (
    aten.mean.dim,
    aten.sum.dim_IntList,
    aten.amax.default,
    aten.amin.default,
    aten.prod.dim_int,
    aten.any.dim,
    aten.all.dim,
    aten.argmax.default,
    aten.argmin.default,
    aten.logsumexp.default,
)


def _matmul(node: fx.Node) -> Iterator[Carried]:
    bound = arguments(node)
    left: fx.Node = bound["self"]
    right: fx.Node = bound["other"] if "other" in bound else bound["mat2"]
    if ranked(left) < 2 or ranked(right) < 2:
        return
    wide = ranked(node)
    shift = wide - ranked(left)
    yield left, {a: a + shift for a in range(ranked(left) - 1)}
    shift = wide - ranked(right)
    columns = ranked(right) - 2
    yield right, {a: a + shift for a in range(ranked(right)) if a != columns}


def _linear(node: fx.Node) -> Iterator[Carried]:
    source = arguments(node)["input"]
    yield source, {a: a for a in range(ranked(source) - 1)}


_RULES: dict[Any, CarryRule] = {
    **MOVES,
    aten.matmul.default: _matmul,
    aten.bmm.default: _matmul,
    aten.linear.default: _linear,
}
