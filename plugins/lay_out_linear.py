"""Pass `lay-out-linear`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

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
    option,
)
from rewrite.quantization.kinds import is_weight
from rewrite.quantization.markers import DEQUANTIZE, DEQUANTIZE_BLOCKS

aten = torch.ops.aten


@dataclass(frozen=True)
class LayOutLinear(RulePass):
    """Store linear weights as [in, out], the layout that GEMM kernels of runtimes read."""

    name = "lay-out-linear"
    equivalence = "exact"
    after = ("calibrate",)

    form: Literal["gemm", "matmul"] = option(
        "gemm", help="gemm: flatten to two dimensions around one Gemm; matmul: MatMul and Add."
    )

    def rules(self) -> list[Rule]:
        """One rule for the chosen form."""
        return [LinearIsProduct(self.form)]


class LinearIsProduct(Rule):
    """linear(x, W, b) = x·Wᵀ + b, with Wᵀ a weight of its own."""

    pattern = Op(aten.linear.default, "linear")

    def __init__(self, form: str) -> None:
        self.form = form

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline for weights that are computed at run time, or are no matrix."""
        weight = argument(match.root, "weight")
        if weight.meta["val"].dim() != 2:
            return "its weight is a vector"
        if 0 in weight.meta["val"].shape:
            return "its weight has no elements"
        if is_weight(weight) or _is_cast_weight(weight) or _is_quantized_weight(weight):
            return None
        return "its weight is computed at run time"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the product in the chosen form."""
        root = match.root
        bound = arguments(root)
        x, bias = bound["input"], bound["bias"]
        weight = _transposed(bound["weight"], root, emit)
        rank = x.meta["val"].dim()
        if rank == 2:
            return _gemm(x, weight, bias, root, emit)
        # A vector is a row: OpenVINO gives the int8 product of one a dimension too many.
        if bias is None or (self.form == "matmul" and rank > 1):
            return _product(x, weight, bias, root, emit)
        width, out = x.meta["val"].shape[-1], weight.meta["val"].shape[1]
        flat = emit.call(aten.reshape.default, like=root, self=x, shape=[-1, width])
        product = _gemm(flat, weight, bias, root, emit)
        sizes = [_size(x, i, root, emit) for i in range(rank - 1)]
        return emit.call(
            aten.reshape.default,
            like=root,
            val=root.meta["val"],
            self=product,
            shape=[*sizes, out],
        )


def _gemm(x: fx.Node, weight: fx.Node, bias: Any, root: fx.Node, emit: Emitter) -> fx.Node:
    if bias is None:
        return emit.call(aten.mm.default, like=root, self=x, mat2=weight)
    return emit.call(aten.addmm.default, like=root, self=bias, mat1=x, mat2=weight)


def _product(x: fx.Node, weight: fx.Node, bias: Any, root: fx.Node, emit: Emitter) -> fx.Node:
    product = emit.call(aten.matmul.default, like=root, val=root.meta["val"], self=x, other=weight)
    if bias is None:
        return product
    return emit.call(aten.add.Tensor, like=root, val=root.meta["val"], self=product, other=bias)


def _size(node: fx.Node, dim: int, root: fx.Node, emit: Emitter) -> Any:
    """Return a size: from the inputs if it is one of theirs, so that nobody else holds on to x."""
    size = node.meta["val"].shape[dim]
    if isinstance(size, int):
        return size
    for source in emit.program.inputs():
        val = source.meta["val"]
        sizes = [str(s) for s in val.shape] if isinstance(val, torch.Tensor) else []
        if str(size) in sizes:
            node, dim = source, sizes.index(str(size))
            break
    return emit.call(aten.sym_size.int, like=root, self=node, dim=dim)


def _is_cast_weight(node: Any) -> bool:
    return is_call(node, aten._to_copy.default) and is_weight(argument(node, "self"))


def _is_quantized_weight(node: Any) -> bool:
    if not is_call(node, DEQUANTIZE, DEQUANTIZE_BLOCKS):
        return False
    bound = arguments(node)
    blocked = node.target is DEQUANTIZE_BLOCKS
    return is_weight(bound["x"]) and (blocked or bound["axis"] in (None, 0))


def _transposed(weight: fx.Node, root: fx.Node, emit: Emitter) -> fx.Node:
    if is_weight(weight):
        return _transposed_weight(weight, emit)
    bound = arguments(weight)
    if _is_cast_weight(weight):
        stored = _transposed_weight(bound["self"], emit)
        return emit.call(weight.target, like=root, **{**bound, "self": stored})
    if weight.target is DEQUANTIZE_BLOCKS:
        parts = {k: _transposed_weight(bound[k], emit) for k in ("x", "scale", "zero_point")}
        other = {**bound, **parts, "axis": 1 - bound["axis"]}
        return emit.call(DEQUANTIZE_BLOCKS, like=root, **other)
    axis = None if bound["axis"] is None else 1
    return emit.call(
        DEQUANTIZE, like=root, **{**bound, "x": _transposed_weight(bound["x"], emit), "axis": axis}
    )


def _transposed_weight(weight: fx.Node, emit: Emitter) -> fx.Node:
    return emit.weight(
        lambda: emit.tensor(weight).t().contiguous(),
        source=str(weight.target),
        recipe=("transpose",),
    )
