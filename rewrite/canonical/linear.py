"""Every product with a weight matrix is one linear."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from rewrite.canonical.values import (
    dtype,
    is_weight,
    number,
    positive_dims,
    rank,
    same_shape,
    same_size,
    shape,
)
from rewrite.emitter import Emitter
from rewrite.pattern import Match, Op, Var, Weight, only_user
from rewrite.program import Program
from rewrite.rules import Reject, Rule
from rewrite.schema import argument, arguments, is_call

aten = torch.ops.aten


class AddmmIsLinear(Rule):
    """addmm(b, x, Wᵀ) = linear(x, W, b)."""

    pattern = Op(aten.addmm.default, self=Var("bias"), mat1=Var("x"), mat2=Var("matrix"))
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline factors other than 1, a bias that is no vector, a matrix that is computed."""
        bound = arguments(match.root)
        if number(bound["beta"]) != 1 or number(bound["alpha"]) != 1:
            return f"its factors are beta={bound['beta']} and alpha={bound['alpha']}, not 1"
        if not same_shape(shape(match["bias"]), shape(match.root)[-1:]):
            return f"its bias has the shape {shape(match['bias'])}, not one value for each output"
        return _no_matrix(match["matrix"])

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the linear."""
        return emit.call(
            aten.linear.default,
            like=match.root,
            val=match.root.meta["val"],
            input=match["x"],
            weight=transposed_weight(match["matrix"], emit),
            bias=match["bias"],
        )


class MatmulIsLinear(Rule):
    """matmul(x, Wᵀ) = linear(x, W), W a weight with two dimensions."""

    pattern = Op((aten.matmul.default, aten.mm.default), "product")
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline a right factor that is computed or has other than two dimensions."""
        return _no_matrix(_factors(match.root)[1])

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the linear."""
        x, matrix = _factors(match.root)
        return emit.call(
            aten.linear.default,
            like=match.root,
            val=match.root.meta["val"],
            input=x,
            weight=transposed_weight(matrix, emit),
        )


class ProductIsMatmul(Rule):
    """mm(a, b) = bmm(a, b) = matmul(a, b)."""

    pattern = Op((aten.mm.default, aten.bmm.default), "product")
    report_misses = False

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the matmul."""
        left, right = _factors(match.root)
        return emit.call(
            aten.matmul.default,
            like=match.root,
            val=match.root.meta["val"],
            self=left,
            other=right,
        )


class ReshapedLinear(Rule):
    """reshape(linear(reshape(x, (-1, K)), W, b), (…, N)) = linear(x, W, b), x of shape (…, K)."""

    pattern = Op(
        aten.reshape.default,
        self=Op(aten.linear.default, "linear", input=Op(aten.reshape.default, self=Var("x"))),
    )
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline when the two reshapes do not cancel, or the flat result is read elsewhere."""
        before, after = shape(match["x"]), shape(match.root)
        linear = match["linear"]
        if not before or not same_size(before[-1], shape(argument(linear, "weight"))[-1]):
            return "the reshape before it changes the last dimension"
        if not after or not same_size(after[-1], shape(linear)[-1]):
            return "the reshape behind it changes the last dimension"
        if not same_shape(before[:-1], after[:-1]):
            return "the reshape behind it does not undo the one before it"
        if not only_user(linear):
            return Reject("its flat result has other users", linear)
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the linear on the unflattened input."""
        return emit.call(
            aten.linear.default,
            like=match["linear"],
            after=match.root,
            val=match.root.meta["val"],
            **{**arguments(match["linear"]), "input": match["x"]},
        )


class LinearPlusBias(Rule):
    """linear(x, W) + b = linear(x, W, b), b a weight with one value for each output."""

    pattern = Op(
        aten.add.Tensor,
        self=Op(aten.linear.default, "linear", weight=Weight("weight"), bias=None),
        other=Weight("bias"),
    )
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline a bias of another shape or type, or a sum that is read without it."""
        sizes, linear = shape(match["bias"]), match["linear"]
        if dtype(match["bias"]) != dtype(linear):
            return f"what is added is {dtype(match['bias'])}, the product {dtype(linear)}"
        outputs = shape(linear)[-1]
        if not sizes or not same_size(sizes[-1], outputs) or any(s != 1 for s in sizes[:-1]):
            return f"what is added has the shape {sizes}, not one value for each output"
        if len(sizes) > rank(linear):
            return "what is added has more dimensions than the product"
        if not only_user(linear):
            return Reject("the product is read without the bias as well", linear)
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the linear with its bias."""
        return emit.call(
            aten.linear.default,
            like=match["linear"],
            after=match.root,
            val=match.root.meta["val"],
            input=argument(match["linear"], "input"),
            weight=match["weight"],
            bias=vector(match["bias"], emit),
        )


class BaddbmmIsMatmul(Rule):
    """baddbmm(c, a, b, β, α) = α·matmul(a, b) + β·c."""

    pattern = Op(aten.baddbmm.default, "product")
    report_misses = False

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the product, its factor, and the sum."""
        root, bound = match.root, arguments(match.root)
        like, val = root, root.meta["val"]
        product = emit.call(
            aten.matmul.default, like=like, val=val, self=bound["batch1"], other=bound["batch2"]
        )
        if bound["alpha"] != 1:
            product = emit.call(
                aten.mul.Tensor, like=like, val=val, self=product, other=bound["alpha"]
            )
        added = bound["self"]
        if bound["beta"] == 0:
            return product
        if bound["beta"] != 1:
            added = emit.call(aten.mul.Tensor, like=like, self=added, other=bound["beta"])
        return emit.call(aten.add.Tensor, like=like, val=val, self=product, other=added)


def _factors(node: fx.Node) -> tuple[Any, Any]:
    bound = arguments(node)
    return bound["self"], bound.get("other", bound.get("mat2"))


def _no_matrix(matrix: Any) -> str | None:
    """Say why a right factor cannot be the weight of a linear; None when it can."""
    if rank(matrix) != 2:
        return f"its right factor has {rank(matrix)} dimensions, not 2"
    if is_weight(matrix) or _weight_under_transpose(matrix) is not None:
        return None
    return "its right factor is computed, not a weight"


def _weight_under_transpose(matrix: Any) -> fx.Node | None:
    if not is_call(matrix, aten.permute.default):
        return None
    source: fx.Node = argument(matrix, "self")
    turned = positive_dims(argument(matrix, "dims"), source) == [1, 0]
    return source if turned and is_weight(source) else None


def transposed_weight(matrix: fx.Node, emit: Emitter) -> fx.Node:
    """Return the weight a linear needs for the right factor `matrix` of a product."""
    source = _weight_under_transpose(matrix)
    if source is not None:
        return source
    return emit.weight(
        lambda: emit.tensor(matrix).t().contiguous(),
        source=str(matrix.target),
        recipe=("transpose",),
    )


def vector(weight: fx.Node, emit: Emitter) -> fx.Node:
    """Return the weight with its leading dimensions of size one dropped."""
    if rank(weight) == 1:
        return weight
    return emit.weight(
        lambda: emit.tensor(weight).reshape(-1), source=str(weight.target), recipe=("vector",)
    )


LINEAR_RULES: list[Rule] = [
    AddmmIsLinear(),
    MatmulIsLinear(),
    ProductIsMatmul(),
    BaddbmmIsMatmul(),
    ReshapedLinear(),
    LinearPlusBias(),
]
