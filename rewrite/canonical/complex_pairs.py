"""Complex arithmetic whose result is read as pairs, in real arithmetic: rotary embeddings.

view_as_real moves up through whatever computes a complex tensor until it meets what made it of
real numbers; files have no complex tensors, and real ones can be quantized, folded and explained.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from rewrite.canonical.values import dtype, rank, same_shape, shape
from rewrite.emitter import Emitter
from rewrite.pattern import Match, Op
from rewrite.program import Program
from rewrite.rules import Rule
from rewrite.schema import argument, arguments

aten = torch.ops.aten
_VIEW = aten.view_as_real.default
_SIZED = (aten.reshape.default, aten.view.default, aten.expand.default)
_ALONG_ONE = (
    aten.flip.default,
    aten.index_select.default,
    aten.select.int,
    aten.slice.Tensor,
    aten.unsqueeze.default,
)
_KEPT = (aten.alias.default, aten.clone.default, aten.resolve_conj.default)


class PairsOfPairs(Rule):
    """view_as_real(view_as_complex(x)) = x."""

    pattern = Op(_VIEW, self=Op(aten.view_as_complex.default, "inner"))
    report_misses = False

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Return the pairs themselves."""
        pairs: fx.Node = argument(match["inner"], "self")
        return pairs


class PairsOfPolar(Rule):
    """view_as_real(polar(r, φ)) = stack(r·cos φ, r·sin φ); of complex(a, b), stack(a, b)."""

    pattern = Op(_VIEW, self=Op((aten.polar.default, aten.complex.default), "made"))
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline parts that are broadcast."""
        first, second = _sides(match["made"])
        alike = same_shape(shape(first), shape(second))
        return None if alike else "its parts have different shapes"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the two parts and their stack."""
        first, second = _sides(match["made"])
        if match["made"].target is aten.complex.default:
            return _stack(emit, match.root, first, second)
        turns = [
            emit.call(turn, like=match.root, self=second)
            for turn in (aten.cos.default, aten.sin.default)
        ]
        parts = [emit.call(aten.mul.Tensor, like=match.root, self=first, other=t) for t in turns]
        return _stack(emit, match.root, *parts)


class PairsOfProduct(Rule):
    """view_as_real((a + bi)(c + di)) = stack(ac - bd, ad + bc); times a real c, (ac, bc)."""

    pattern = Op(_VIEW, self=Op(aten.mul.Tensor, "product"))
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline numbers of another precision."""
        wanted = dtype(match.root)
        sides = _factors(match["product"])
        if not all(_is_complex(side) or _is_real(side, wanted) for side in sides):
            return "a factor is no float of their precision"
        return _unread(*sides)

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the parts of the product."""
        like, (left, right) = match.root, _factors(match["product"])
        if not (_is_complex(left) and _is_complex(right)):
            pairs, factor = (left, right) if _is_complex(left) else (right, left)
            return _scaled(emit, like, aten.mul.Tensor, pairs, factor)
        a, b, c, d = (*_parts(emit, like, left), *_parts(emit, like, right))

        def times(x: fx.Node, y: fx.Node) -> fx.Node:
            return emit.call(aten.mul.Tensor, like=like, self=x, other=y)

        real = emit.call(aten.sub.Tensor, like=like, self=times(a, c), other=times(b, d))
        imaginary = emit.call(aten.add.Tensor, like=like, self=times(a, d), other=times(b, c))
        return _stack(emit, like, real, imaginary)


class PairsOfQuotient(Rule):
    """view_as_real((a + bi) / c) = view_as_real(a + bi) / c for a real c."""

    pattern = Op(_VIEW, self=Op(aten.div.Tensor, "quotient"))
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline complex divisors."""
        left, right = _factors(match["quotient"])
        whole = _is_complex(left) and _is_real(right, dtype(match.root))
        return _unread(left) if whole else "its divisor is no real number"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the quotient of the pairs."""
        return _scaled(emit, match.root, aten.div.Tensor, *_factors(match["quotient"]))


class PairsOfSum(Rule):
    """view_as_real(x ± y) = view_as_real(x) ± view_as_real(y)."""

    pattern = Op(_VIEW, self=Op((aten.add.Tensor, aten.sub.Tensor), "sum"))
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline sums with a real number, and with a factor."""
        whole = all(map(_is_complex, _factors(match["sum"])))
        plain = arguments(match["sum"]).get("alpha") in (None, 1)
        if not whole or not plain:
            return "it is not of two complex tensors"
        return _unread(*_factors(match["sum"]))

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the sum of the pairs."""
        like = match.root
        left, right = (_pairs(emit, like, side) for side in _factors(match["sum"]))
        return emit.call(
            match["sum"].target, like=like, val=like.meta["val"], self=left, other=right
        )


class PairsOfConjugate(Rule):
    """view_as_real(conj(a + bi)) = stack(a, -b)."""

    pattern = Op(_VIEW, self=Op(aten.conj_physical.default, "conjugate"))
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline what is conjugated as it is read."""
        return _unread(argument(match["conjugate"], "self"))

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the parts."""
        real, imaginary = _parts(emit, match.root, argument(match["conjugate"], "self"))
        negative = emit.call(aten.neg.default, like=match.root, self=imaginary)
        return _stack(emit, match.root, real, negative)


class PairsOfLayout(Rule):
    """view_as_real(layout(x)) = layout(view_as_real(x)): the pairs are one dimension more."""

    pattern = Op(_VIEW, self=Op((*_SIZED, *_ALONG_ONE, *_KEPT, aten.permute.default), "layout"))
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline what is conjugated as it is read."""
        return _unread(argument(match["layout"], "self"))

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the layout of the pairs, its dimensions counted from the front."""
        layout, like = match["layout"], match.root
        bound: dict[str, Any] = dict(arguments(layout))
        source, count = bound["self"], rank(bound["self"])
        bound["self"] = _pairs(emit, like, source)
        if layout.target in _SIZED:
            name = next(each for each in ("shape", "size") if each in bound)
            bound[name] = [*bound[name], 2]
        elif layout.target is aten.permute.default:
            bound["dims"] = [*(d % count for d in bound["dims"]), count]
        elif "dims" in bound:
            bound["dims"] = [d % count for d in bound["dims"]]
        elif "dim" in bound:
            bound["dim"] %= count + (layout.target is aten.unsqueeze.default)
        return emit.call(layout.target, like=like, val=like.meta["val"], **bound)


class PairsOfJoin(Rule):
    """view_as_real(cat(x, y)) = cat(view_as_real(x), view_as_real(y))."""

    pattern = Op(_VIEW, self=Op(aten.cat.default, "join"))
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline joins with real tensors."""
        parts = argument(match["join"], "tensors")
        return _unread(*parts) if all(map(_is_complex, parts)) else "a part is real"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the join of the pairs."""
        bound, like = arguments(match["join"]), match.root
        parts = [_pairs(emit, like, part) for part in bound["tensors"]]
        dim = bound["dim"] % rank(match["join"])
        return emit.call(aten.cat.default, like=like, val=like.meta["val"], tensors=parts, dim=dim)


class PartOfComplex(Rule):
    """real(x) = view_as_real(x)[..., 0], imag(x) = view_as_real(x)[..., 1]; |x| = hypot(a, b)."""

    pattern = Op((aten.real.default, aten.imag.default, aten.abs.default), "part")
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline real tensors."""
        source = argument(match.root, "self")
        return _unread(source) if _is_complex(source) else "it is of a real tensor"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the part."""
        real, imaginary = _parts(emit, match.root, argument(match.root, "self"))
        if match.root.target is not aten.abs.default:
            return real if match.root.target is aten.real.default else imaginary
        return emit.call(aten.hypot.default, like=match.root, self=real, other=imaginary)


def _is_complex(value: Any) -> bool:
    kind = dtype(value)
    return kind is not None and kind.is_complex


def _is_real(value: Any, wanted: torch.dtype | None) -> bool:
    """Tell whether a value is a number, or a tensor of the precision of the parts."""
    if isinstance(value, fx.Node):
        return dtype(value) == wanted
    return isinstance(value, (int, float))


def _unread(*values: Any) -> str | None:
    """Return why torch does not give a tensor out as pairs: a view of one that is conjugated."""
    fakes = [v.meta.get("val") for v in values if isinstance(v, fx.Node) and not _is_conj(v)]
    lazy = any(isinstance(fake, torch.Tensor) and fake.is_conj() for fake in fakes)
    return "it is a view of what is conjugated as it is read" if lazy else None


def _is_conj(node: fx.Node) -> bool:
    return node.target is aten._conj.default and not argument(node, "self").meta["val"].is_conj()


def _sides(node: fx.Node) -> tuple[fx.Node, fx.Node]:
    bound = arguments(node)
    if node.target is aten.polar.default:
        return bound["abs"], bound["angle"]
    return bound["real"], bound["imag"]


def _factors(node: fx.Node) -> tuple[Any, Any]:
    bound = arguments(node)
    return bound["self"], bound["other"]


def _pairs(emit: Emitter, like: fx.Node, value: fx.Node) -> fx.Node:
    if not _is_conj(value):
        return emit.call(_VIEW, like=like, self=value)
    real, imaginary = _parts(emit, like, argument(value, "self"))
    negative = emit.call(aten.neg.default, like=like, self=imaginary)
    return emit.call(aten.stack.default, like=like, tensors=[real, negative], dim=rank(value))


def _parts(emit: Emitter, like: fx.Node, value: fx.Node) -> tuple[fx.Node, fx.Node]:
    pairs, last = _pairs(emit, like, value), rank(value)
    first, second = (
        emit.call(aten.select.int, like=like, self=pairs, dim=last, index=place) for place in (0, 1)
    )
    return first, second


def _scaled(emit: Emitter, like: fx.Node, target: Any, pairs: fx.Node, factor: Any) -> fx.Node:
    if isinstance(factor, fx.Node):
        factor = emit.call(aten.unsqueeze.default, like=like, self=factor, dim=rank(factor))
    return emit.call(
        target, like=like, val=like.meta["val"], self=_pairs(emit, like, pairs), other=factor
    )


def _stack(emit: Emitter, like: fx.Node, real: fx.Node, imaginary: fx.Node) -> fx.Node:
    return emit.call(
        aten.stack.default,
        like=like,
        val=like.meta["val"],
        tensors=[real, imaginary],
        dim=rank(real),
    )


COMPLEX_RULES: list[Rule] = [
    PairsOfPairs(),
    PairsOfPolar(),
    PairsOfProduct(),
    PairsOfQuotient(),
    PairsOfSum(),
    PairsOfConjugate(),
    PairsOfLayout(),
    PairsOfJoin(),
    PartOfComplex(),
]
