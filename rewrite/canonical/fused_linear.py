"""A linear whose result is taken apart is several linears.

Each of them gets int8 scales of its own, and no Split, Slice or Squeeze runs.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from rewrite.canonical.values import is_weight, positive_dim, positive_dims, same_shape, shape
from rewrite.emitter import Emitter
from rewrite.pattern import Match, Op, Weight, only_user
from rewrite.program import Program
from rewrite.rules import Reject, Rule
from rewrite.schema import argument, arguments, is_call

aten = torch.ops.aten
_MOST_PIECES = 4
"""Query, key, value and one more; single heads are not worth a linear each."""

Axis = tuple[str, int]
"""Where a dimension comes from: ("row", i) of the input, ("channel", j) of the factors of N."""


@dataclass(frozen=True)
class Piece:
    """A node that takes the entries `low` to `high` of one factor of the channels."""

    node: fx.Node
    low: int
    high: int
    drops: bool
    """Whether the factor's dimension is gone, as behind `select`."""


@dataclass
class Fan:
    """How the result of a linear is taken apart: reshape, permute, then pieces along one axis."""

    rows: list[Any]
    """Sizes of the leading dimensions, as arguments of a reshape; empty without one."""
    factors: list[int]
    layout: list[Axis]
    axis: Axis = ("row", 0)
    pieces: list[Piece] = field(default_factory=list)


class FusedLinear(Rule):
    """split(linear(x, W, b)) = linear(x, W₁, b₁), linear(x, W₂, b₂), …, Wᵢ the rows of piece i."""

    pattern = Op(aten.linear.default, "linear", weight=Weight("weight"))
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline a shared weight, and a result that is read whole or in uneven ways."""
        bias = argument(match.root, "bias")
        fan = _fan(match.root)
        if isinstance(fan, str):
            return fan
        if not only_user(match["weight"]):
            return Reject("its weight is shared, and would be stored twice", match["weight"])
        if bias is not None and not is_weight(bias):
            return Reject("its bias is computed", bias)
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit one linear for each piece, and what is left of the reshape and the permute."""
        fan = _fan(match.root)
        assert isinstance(fan, Fan)
        bound = arguments(match.root)
        for piece in fan.pieces:
            product = emit.call(
                aten.linear.default,
                like=match.root,
                input=bound["input"],
                weight=_rows(bound["weight"], fan, piece, emit),
                bias=None if bound["bias"] is None else _rows(bound["bias"], fan, piece, emit),
            )
            emit.replace(piece.node, _arrange(product, fan, piece, emit))
        return match.root


def _fan(linear: fx.Node) -> Fan | str:
    """Follow the result of a linear to where it is taken apart; say why it is not."""
    sizes = shape(linear)
    rows = len(sizes) - 1
    layout: list[Axis] = [("row", i) for i in range(rows)] + [("channel", 0)]
    fan = Fan([], [int(sizes[-1])], layout)
    node = linear
    while True:
        if not node.users:
            return "nothing reads its result"
        if all(_picks(user) for user in node.users):
            return _pieces(node, fan)
        if len(node.users) != 1:
            return "its result is read in several ways"
        node = next(iter(node.users))
        problem = _follow(node, fan, sizes)
        if problem:
            return problem


def _follow(node: fx.Node, fan: Fan, sizes: tuple[Any, ...]) -> str | None:
    """Take one layout operator into the layout; say why it is none."""
    rows = len(sizes) - 1
    if is_call(node, aten.permute.default):
        source = argument(node, "self")
        fan.layout = [fan.layout[d] for d in positive_dims(argument(node, "dims"), source)]
    elif is_call(node, aten.unsqueeze.default):
        dim = argument(node, "dim") % (len(fan.layout) + 1)
        fan.layout.insert(dim, ("one", 0))
    elif is_call(node, aten.squeeze.dim) and fan.layout[argument(node, "dim")][0] == "one":
        del fan.layout[argument(node, "dim")]
    elif is_call(node, aten.reshape.default) and len(fan.factors) == 1 and not fan.rows:
        after = shape(node)
        split = after[rows:]
        if not same_shape(after[:rows], sizes[:rows]) or not all(isinstance(s, int) for s in split):
            return "the reshape behind it mixes channels with other dimensions"
        listed = list(argument(node, "shape"))
        fan.rows = [s if isinstance(s, int) else a for s, a in zip(after, listed, strict=True)]
        fan.rows = fan.rows[:rows]
        fan.factors = [int(s) for s in split]
        fan.layout = fan.layout[:rows] + [("channel", j) for j in range(len(split))]
    else:
        return "its result is read whole"
    return None


def _picks(user: fx.Node) -> bool:
    picking = (aten.select.int, aten.slice.Tensor, aten.unbind.int, aten.split_with_sizes.default)
    return is_call(user, *picking)


def _pieces(node: fx.Node, fan: Fan) -> Fan | str:
    """Read off the pieces; say why they are not parts of the channels."""
    for user in node.users:
        bound = arguments(user)
        axis = fan.layout[positive_dim(bound["dim"], node)]
        if axis[0] != "channel" or (fan.pieces and axis != fan.axis):
            return "it is taken apart along other dimensions than the channels"
        fan.axis = axis
        if fan.rows and is_call(user, aten.slice.Tensor):
            # Partial rotary embeddings slice within a head; two linears would only be joined again.
            return "a slice takes part of a head"
        found = _ranges(user, bound, fan.factors[axis[1]])
        if isinstance(found, str):
            return found
        fan.pieces.extend(found)
    return _verdict(fan)


def _ranges(user: fx.Node, bound: dict[str, Any], size: int) -> list[Piece] | str:
    if is_call(user, aten.select.int):
        if not isinstance(bound["index"], int):
            return "an index is known at run time only"
        index = bound["index"] % size
        return [Piece(user, index, index + 1, True)]
    if is_call(user, aten.slice.Tensor):
        ends = (bound["start"] or 0, size if bound["end"] is None else bound["end"])
        if bound["step"] != 1 or not all(isinstance(e, int) for e in ends):
            return "a slice has a step, or an end known at run time only"
        low, high, _ = slice(*ends).indices(size)
        return [Piece(user, low, high, False)]
    drops = is_call(user, aten.unbind.int)
    widths = [1] * size if drops else bound["split_sizes"]
    pieces = []
    for item in user.users:
        index = arguments(item)["index"]
        low = sum(widths[:index])
        pieces.append(Piece(item, low, low + widths[index], drops))
    return pieces


def _verdict(fan: Fan) -> Fan | str:
    ordered = sorted(fan.pieces, key=lambda p: p.low)
    if len(ordered) > _MOST_PIECES:
        return f"it is taken apart into {len(ordered)} pieces, more than {_MOST_PIECES}"
    if fan.rows and len({p.high - p.low for p in ordered}) > 1:
        return "its pieces have different widths within a head"
    if any(a.high > b.low for a, b in itertools.pairwise(ordered)):
        return "its pieces overlap"
    if any(p.high <= p.low for p in ordered) or len(ordered) < 2:
        return "it has not two pieces"
    return fan


def _rows(weight: fx.Node, fan: Fan, piece: Piece, emit: Emitter) -> fx.Node:
    """Return the rows of a weight (or entries of a bias) that make one piece."""
    factor = fan.axis[1]

    def gather() -> torch.Tensor:
        tensor = emit.tensor(weight)
        split = tensor.reshape(*fan.factors, *tensor.shape[1:])
        part = split.narrow(factor, piece.low, piece.high - piece.low)
        return part.reshape(-1, *tensor.shape[1:]).clone()

    recipe = ("rows", tuple(fan.factors), factor, piece.low, piece.high)
    return emit.weight(gather, source=str(weight.target), recipe=recipe)


def _arrange(product: fx.Node, fan: Fan, piece: Piece, emit: Emitter) -> fx.Node:
    """Emit the reshape, permute and unsqueezes that give a piece its place."""
    like, factor = piece.node, fan.axis[1]
    wanted = [a for a in fan.layout if not (piece.drops and a == fan.axis)]
    widths = list(fan.factors)
    widths[factor] = piece.high - piece.low
    channels = [j for j in range(len(widths)) if ("channel", j) in wanted]
    rows = [a for a in sorted(fan.layout) if a[0] == "row"]
    if len(channels) != 1 or widths[channels[0]] != math.prod(widths):
        sizes = [*fan.rows, *(widths[j] for j in channels)]
        product = emit.call(aten.reshape.default, like=like, self=product, shape=sizes)
    present: list[Axis] = rows + [("channel", j) for j in channels]
    order = [present.index(a) for a in wanted if a[0] != "one"]
    if order != sorted(order):
        product = emit.call(aten.permute.default, like=like, self=product, dims=order)
    for position, (kind, _) in enumerate(wanted):
        if kind == "one":
            product = emit.call(aten.unsqueeze.default, like=like, self=product, dim=position)
    return product
