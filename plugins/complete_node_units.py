"""Pass `complete-node-units`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from rewrite import Context, Emitter, Outcome, Pass, Program, argument, arguments, is_call, option
from rewrite.quantization.kinds import is_weight, kind
from rewrite.quantization.markers import DEQUANTIZE, QUANTIZE

aten = torch.ops.aten


@dataclass(frozen=True)
class CompleteNodeUnits(Pass):
    """Put quantizers on both sides of what only moves values, at the scale of one side.

    Runtimes that take whole node units know an operator by the dequantizers in front of it and the
    quantizers behind it. What only moves values moves integers just as well.
    """

    name = "complete-node-units"
    equivalence = "exact"
    after = ("calibrate", "lay-out-linear", "flatten-tokens")

    of: tuple[str, ...] = option(
        ("layout", "max-pool", "nearest-resize", "concat"),
        help="Kinds of operators that get quantizers.",
    )

    def run(self, program: Program, context: Context) -> Outcome:
        """Complete what follows a dequantizer going down, what a quantizer follows going up."""
        emit = Emitter(program)
        rewrites = _split_pools(program, emit) if "layout" in self.of else 0
        for node in list(program.graph.nodes):
            if kind(node) in self.of:
                rewrites += _quantize_behind(node, emit)
        for node in reversed(list(program.graph.nodes)):
            if kind(node) in self.of:
                rewrites += _quantize_in_front(node, emit)
        notes = [] if rewrites else ["every operator has its quantizers"]
        return Outcome(rewrites, notes=notes)


def _split_pools(program: Program, emit: Emitter) -> int:
    """mean(x, space) = reshape(mean(x, space, keepdim), [N, C]), where x is quantized."""
    count = 0
    for node in list(program.graph.nodes):
        if kind(node) != "global-average-pool":
            continue
        bound = arguments(node)
        val = node.meta["val"]
        fixed = isinstance(val.shape[1], int)
        if bound["keepdim"] or not is_call(bound["self"], DEQUANTIZE) or not fixed:
            continue
        pooled = emit.call(node.target, like=node, **{**bound, "keepdim": True})
        shape = [-1, val.shape[1]]
        emit.replace(
            node, emit.call(aten.reshape.default, like=node, val=val, self=pooled, shape=shape)
        )
        count += 1
    return count


def _quantize_behind(node: fx.Node, emit: Emitter) -> int:
    """move(dequantize(q)) = dequantize(quantize(move(dequantize(q)))), all at one scale."""
    sources = _moved(node)
    settings = [_dequantized_at(source) for source in sources]
    if not settings or settings[0] is None or any(s != settings[0] for s in settings):
        return 0
    if node.users and all(_quantized_at(user) == settings[0] for user in node.users):
        return 0
    readers = list(node.users)
    pair = _pair(node, settings[0], emit, after=node)
    for user in readers:
        emit.replace_use(user, node, pair)
    return 1


def _quantize_in_front(node: fx.Node, emit: Emitter) -> int:
    """quantize(move(x)) = quantize(move(dequantize(quantize(x)))), all at one scale."""
    settings = [_quantized_at(user) for user in node.users]
    if not settings or settings[0] is None or any(s != settings[0] for s in settings):
        return 0
    bare = [s for s in dict.fromkeys(_moved(node)) if _dequantized_at(s) != settings[0]]
    for source in bare:
        emit.replace_use(node, source, _pair(source, settings[0], emit, like=node))
    return int(bool(bare))


def _moved(node: fx.Node) -> list[fx.Node]:
    """Return the tensors whose values a call moves."""
    value = next(iter(arguments(node).values()))
    given = value if isinstance(value, (list, tuple)) else [value]
    return [each for each in given if isinstance(each, fx.Node)]


Settings = dict[str, Any]


def _quantized_at(node: fx.Node) -> Settings | None:
    """Return how a quantizer works, None for anything else and for scales of channels."""
    if not is_call(node, QUANTIZE) or argument(node, "axis") is not None:
        return None
    return {name: v for name, v in arguments(node).items() if name not in ("x", "axis")}


def _dequantized_at(node: fx.Node) -> Settings | None:
    """Return how the quantizer in front of a dequantizer works."""
    if not is_call(node, DEQUANTIZE) or is_weight(argument(node, "x")):
        return None
    return _quantized_at(argument(node, "x"))


def _pair(
    x: fx.Node,
    settings: Settings,
    emit: Emitter,
    like: fx.Node | None = None,
    after: fx.Node | None = None,
) -> fx.Node:
    place = like or x
    quantized = emit.call(QUANTIZE, like=place, after=after, x=x, **settings)
    behind = quantized if after is not None else None
    points = {name: settings[name] for name in ("scale", "zero_point")}
    return emit.call(DEQUANTIZE, like=place, after=behind, x=quantized, **points)
