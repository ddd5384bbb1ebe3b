"""One overload, one result, one name for calls that say the same."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from rewrite.canonical.values import dtype, positive_dim, shape
from rewrite.emitter import Emitter
from rewrite.pattern import Match, Op, Var
from rewrite.program import Program
from rewrite.rules import Rule
from rewrite.schema import argument_names, arguments

aten = torch.ops.aten

_TENSOR_FORM: dict[Any, Any] = {
    aten.add.Scalar: aten.add.Tensor,
    aten.sub.Scalar: aten.sub.Tensor,
    aten.mul.Scalar: aten.mul.Tensor,
    aten.div.Scalar: aten.div.Tensor,
    aten.div.Scalar_mode: aten.div.Tensor_mode,
    aten.true_divide.Tensor: aten.div.Tensor,
    aten.true_divide.Scalar: aten.div.Tensor,
    aten.multiply.Tensor: aten.mul.Tensor,
    aten.multiply.Scalar: aten.mul.Tensor,
    aten.subtract.Tensor: aten.sub.Tensor,
    aten._log_softmax.default: aten.log_softmax.int,
    aten._softmax.default: aten.softmax.int,
    aten.__and__.Tensor: aten.bitwise_and.Tensor,
    aten.__or__.Tensor: aten.bitwise_or.Tensor,
    aten.__xor__.Tensor: aten.bitwise_xor.Tensor,
    aten.__and__.Scalar: aten.bitwise_and.Scalar,
    aten.__or__.Scalar: aten.bitwise_or.Scalar,
    aten.__xor__.Scalar: aten.bitwise_xor.Scalar,
    aten.min.other: aten.minimum.default,
    aten.max.other: aten.maximum.default,
}
_FIRST_RESULT: dict[Any, Any] = {
    aten.native_layer_norm.default: aten.layer_norm.default,
    aten.native_group_norm.default: aten.group_norm.default,
    aten.max_pool2d_with_indices.default: aten.max_pool2d.default,
    aten._fused_rms_norm.default: aten.rms_norm.default,
    aten._scaled_dot_product_flash_attention_for_cpu.default: (
        aten.scaled_dot_product_attention.default
    ),
}


class ScalarIsTensor(Rule):
    """f.Scalar(x, c) = f.Tensor(x, c); _softmax(x) = softmax(x); x & y = bitwise_and(x, y)."""

    pattern = Op(tuple(_TENSOR_FORM), "call")
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline a softmax that widens half precision."""
        widens = arguments(match.root).get("half_to_float", False)
        return "it computes in another dtype than its input's" if widens else None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the same arguments under the other name."""
        return _renamed(emit, match.root, match.root, _TENSOR_FORM[match.root.target])


class FirstResult(Rule):
    """f(x, …)[0] = g(x, …), g the inference form of f, which has no other result."""

    pattern = Op(operator.getitem, self=Op(tuple(_FIRST_RESULT), "call"), index=0)
    report_misses = False

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the one-result form."""
        call = match["call"]
        if call.target is not aten.native_group_norm.default:
            return _renamed(emit, match.root, call, _FIRST_RESULT[call.target])
        bound = arguments(call)
        return emit.call(
            aten.group_norm.default,
            like=match.root,
            val=match.root.meta["val"],
            input=bound["input"],
            num_groups=bound["group"],
            weight=bound["weight"],
            bias=bound["bias"],
            eps=bound["eps"],
        )


class ReversedSubtraction(Rule):
    """rsub(x, y) = y - x."""

    pattern = Op(aten.rsub.Tensor, self=Var("x"), other=Var("y"), alpha=1)
    report_misses = False

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the subtraction."""
        return emit.call(
            aten.sub.Tensor,
            like=match.root,
            val=match.root.meta["val"],
            self=match["y"],
            other=match["x"],
        )


class PromotedReversal(Rule):
    """rsub(x, c) = rsub(x as float, c), x an integer and c not.

    The exporter knows how to promote x - c, but not c - x.
    """

    pattern = Op(aten.rsub.Scalar, self=Var("x"))
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline a difference that has the dtype of its tensor."""
        return "it promotes nothing" if dtype(match["x"]) == dtype(match.root) else None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the cast and the subtraction."""
        wide = emit.call(
            aten._to_copy.default, like=match.root, self=match["x"], dtype=dtype(match.root)
        )
        return emit.call(
            aten.rsub.Scalar,
            like=match.root,
            val=match.root.meta["val"],
            **{**arguments(match.root), "self": wide},
        )


class SoftmaxDtype(Rule):
    """softmax(x, d, dtype of x) = softmax(x, d), d counted as -1 when it is the last."""

    pattern = Op((aten.softmax.int, aten.log_softmax.int), self=Var("x"))
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline what is in its form already, or changes the dtype."""
        bound = arguments(match.root)
        if bound["dtype"] not in (None, dtype(match["x"])):
            return "it changes the dtype"
        if bound["dtype"] is None and bound["dim"] == self._dim(bound):
            return "it is in its one form"
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the softmax without its dtype."""
        bound = arguments(match.root)
        return emit.call(
            match.root.target,
            like=match.root,
            val=match.root.meta["val"],
            self=bound["self"],
            dim=self._dim(bound),
        )

    @staticmethod
    def _dim(bound: dict[str, Any]) -> int:
        dim = positive_dim(bound["dim"], bound["self"])
        return -1 if dim == len(shape(bound["self"])) - 1 else dim


class ExtremeOfEverything(Rule):
    """amax(x, []) = amax(x, all dimensions), and x where it has none; amin alike."""

    pattern = Op((aten.amax.default, aten.amin.default), "extreme")
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline dimensions that are named."""
        bound = arguments(match.root)
        named = bound["dim"] and shape(bound["self"])
        return "it names its dimensions" if named else None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the extreme with all dimensions, or the one value there is."""
        bound = arguments(match.root)
        if not shape(bound["self"]):
            source: fx.Node = bound["self"]
            return source
        return emit.call(
            match.root.target,
            like=match.root,
            val=match.root.meta["val"],
            self=bound["self"],
            dim=list(range(len(shape(bound["self"])))),
            keepdim=bound["keepdim"],
        )


class SplitHasSizes(Rule):
    """split(x, n, d) = chunk(x, k, d) = split_with_sizes(x, (n, n, …), d)."""

    pattern = Op(
        (
            aten.split.Tensor,
            aten.split.sizes,
            aten.unsafe_split.Tensor,
            aten.unsafe_split_with_sizes.default,
            aten.chunk.default,
        ),
        "split",
    )
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline sizes known at run time only."""
        sizes = [v.shape[arguments(match.root)["dim"]] for v in match.root.meta["val"]]
        known = all(isinstance(s, int) for s in sizes)
        return None if known else "its sizes are known at run time only"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the split with its sizes."""
        bound = arguments(match.root)
        return emit.call(
            aten.split_with_sizes.default,
            like=match.root,
            val=match.root.meta["val"],
            self=bound["self"],
            split_sizes=[int(v.shape[bound["dim"]]) for v in match.root.meta["val"]],
            dim=positive_dim(bound["dim"], bound["self"]),
        )


def _renamed(emit: Emitter, root: fx.Node, call: fx.Node, overload: Any) -> fx.Node:
    known = argument_names(overload)
    named = {name: value for name, value in arguments(call).items() if name in known}
    return emit.call(overload, like=root, val=root.meta["val"], **named)


OVERLOAD_RULES: list[Rule] = [
    ScalarIsTensor(),
    FirstResult(),
    ReversedSubtraction(),
    PromotedReversal(),
    SoftmaxDtype(),
    ExtremeOfEverything(),
    SplitHasSizes(),
]
