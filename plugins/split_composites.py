"""Pass `split-composites`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from rewrite_plugins.convolve_batch_norm import (
    CONVOLUTIONS,
    BatchNormIsConvolution,
    convolve_channels,
)
from rewrite_plugins.split_activations import SiluIsProduct
from torch import fx

from rewrite import Emitter, Match, Op, Program, Reject, Rule, RulePass, Var, arguments

aten = torch.ops.aten


@dataclass(frozen=True)
class SplitComposites(RulePass):
    """Write SiLU, norms of channels, numbers, choices and rolls as operators that have node units.

    Runtimes that take whole node units quantize every tensor of an operator, so none may hide
    inside one, be a number, or come from a comparison.
    """

    name = "split-composites"
    equivalence = "exact"
    after = ("fold-batch-norm", "remove-dead-code", "expand-attention")
    before = ("insert-quantizers",)

    def rules(self) -> list[Rule]:
        """One rule for each composite."""
        return [
            SiluIsProduct(),
            BatchNormIsConvolution(),
            GroupNormIsLayerNorm(),
            NumberIsTensor(),
            ChoiceOfTensors(),
            ConditionIsChoice(),
            RollIsJoin(),
        ]


class GroupNormIsLayerNorm(Rule):
    """group_norm(x) = γ·reshape(layer_norm(reshape(x, [N, groups, …]))) + β."""

    pattern = Op(aten.group_norm.default, "norm", input=Var("x"))
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline dynamic sizes of channels or space, and computed factors."""
        bound, val = arguments(match.root), match["x"].meta["val"]
        if val.dim() not in CONVOLUTIONS:
            return "it has no space"
        if not all(isinstance(size, int) for size in val.shape[1:]):
            return "its channels or its space have dynamic sizes"
        if any(p is None or p.op != "get_attr" for p in (bound["weight"], bound["bias"])):
            return "its factors are computed, or missing"
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit a layer norm of each group between two reshapes, then the factors of channels."""
        root, x, bound = match.root, match["x"], arguments(match.root)
        sizes = [int(size) for size in x.meta["val"].shape[1:]]
        groups = bound["num_groups"]
        width = torch.Size(sizes).numel() // groups
        dtype = x.meta["val"].dtype
        rows = emit.call(aten.reshape.default, like=root, self=x, shape=[-1, groups, width])
        ones = emit.weight(
            torch.ones(width, dtype=dtype), source="ones", recipe=(width, dtype), dtype=dtype
        )
        normed = emit.call(
            aten.layer_norm.default,
            like=root,
            input=rows,
            normalized_shape=[width],
            weight=ones,
            eps=bound["eps"],
        )
        whole = emit.call(aten.reshape.default, like=root, self=normed, shape=[-1, *sizes])
        whole.meta["val"] = root.meta["val"]
        scale, shift = (emit.tensor(bound[n]) for n in ("weight", "bias"))
        return convolve_channels(root, whole, scale, shift, bound["weight"], emit)


class NumberIsTensor(Rule):
    """x ∘ c = x ∘ [c] for ∘ of +, −, · and /."""

    pattern = Op(
        (aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor),
        "call",
        self=Var("x"),
    )
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline tensors on both sides, and integers; multiples do not match."""
        bound, x = arguments(match.root), match["x"]
        if not isinstance(bound["other"], (int, float)):
            return "both sides are tensors"
        if not isinstance(x, fx.Node) or not _is_float(x) or not x.meta["val"].dim():
            return "it computes with integers, or with a single number"
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the call with a tensor of one element."""
        number, dtype = float(arguments(match.root)["other"]), match["x"].meta["val"].dtype
        named = {"self": match["x"], "other": _number(number, dtype, emit)}
        return emit.call(match.root.target, like=match.root, val=match.root.meta["val"], **named)


class ChoiceOfTensors(Rule):
    """where(c, a, b) = where(c, [a], [b]), a and b numbers."""

    pattern = Op((aten.where.Scalar, aten.where.ScalarOther, aten.where.ScalarSelf), "choice")
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline a choice between integers, and one of a single number: it has no dimension."""
        if not _is_float(match.root):
            return "it chooses between integers"
        return None if match.root.meta["val"].dim() else "it chooses a single number"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the choice between tensors of one element."""
        bound, val = arguments(match.root), match.root.meta["val"]
        sides = {
            n: v if isinstance(v, fx.Node) else _number(float(v), val.dtype, emit)
            for n, v in ((n, bound[n]) for n in ("self", "other"))
        }
        condition = bound["condition"]
        return emit.call(aten.where.self, like=match.root, val=val, condition=condition, **sides)


class ConditionIsChoice(Rule):
    """float(c) = where(c, [1], [0]), c true or false."""

    pattern = Op(aten._to_copy.default, "cast", self=Var("condition"))
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline casts of anything but conditions, to anything but float32, and of single ones."""
        given = match["condition"].meta["val"].dtype
        if given != torch.bool or not _is_float(match.root):
            return "it casts no condition to float32"
        return None if match.root.meta["val"].dim() else "it casts a single condition"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the choice between one and zero."""
        one, zero = (_number(value, torch.float32, emit) for value in (1.0, 0.0))
        val, given = match.root.meta["val"], match["condition"]
        return emit.call(
            aten.where.self, like=match.root, val=val, condition=given, self=one, other=zero
        )


class RollIsJoin(Rule):
    """roll(x, s) along d = concat(x[n − s:], x[:n − s]) along d, 0 ≤ s < n, one d after another."""

    pattern = Op(aten.roll.default, "roll", self=Var("x"))
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline integers, a roll of everything as one row, and dynamic sizes."""
        dims, sizes = arguments(match.root)["dims"], match["x"].meta["val"].shape
        if not _is_float(match.root):
            return "it moves integers"
        if not dims:
            return "it rolls all elements as one row"
        if not all(isinstance(sizes[dim], int) and sizes[dim] for dim in dims):
            return "the size it rolls along is dynamic"
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit two slices and a concatenation for each dimension that moves."""
        bound, value = arguments(match.root), match["x"]
        for shift, dim in zip(bound["shifts"], bound["dims"], strict=True):
            size = value.meta["val"].shape[dim]
            cut = size - shift % size
            if cut == size:
                continue
            last, first = (
                emit.call(
                    aten.slice.Tensor, like=match.root, self=value, dim=dim, start=start, end=end
                )
                for start, end in ((cut, size), (0, cut))
            )
            value = emit.call(aten.cat.default, like=match.root, tensors=[last, first], dim=dim)
        return value


def _number(value: float, dtype: torch.dtype, emit: Emitter) -> fx.Node:
    # In float64, as exact checks compute: the file holds it rounded.
    made = torch.full((1,), value, dtype=torch.float64)
    return emit.weight(made, source="number", recipe=(value, str(dtype)), dtype=dtype)


def _is_float(node: fx.Node) -> bool:
    val = node.meta.get("val")
    return isinstance(val, torch.Tensor) and val.dtype == torch.float32
