"""Products of groups of rows with a matrix each: mixtures of experts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rewrite.emitter import Emitter
from rewrite.schema import arguments

if TYPE_CHECKING:
    from rewrite.program import Program


@torch.library.custom_op("rewrite::grouped_matmul", mutates_args=())
def grouped_matmul(x: Tensor, weight: Tensor, ends: Tensor) -> Tensor:
    """Return rows of x, each times the matrix of its group.

    Args:
        x: [S, K], the rows of a group behind one another, every row in one.
        weight: [G, K, N].
        ends: [G], where each group ends.
    """
    result = x.new_zeros(x.shape[0], weight.shape[2])
    start = 0
    for matrix, end in zip(weight, ends.tolist(), strict=True):
        result[start:end] = x[start:end] @ matrix
        start = end
    return result


@grouped_matmul.register_fake
def _(x: Tensor, weight: Tensor, ends: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], weight.shape[2])


GROUPED_MATMUL = torch.ops.rewrite.grouped_matmul.default
_SAME = ("transformers::grouped_mm_fallback",)
"""The same operator under other names; one is registered only where its library is loaded."""


def name_grouped_products(program: Program) -> int:
    """Give products of groups their one name; return how many."""
    emit = Emitter(program)
    named = 0
    for node in list(program.graph.nodes):
        if not isinstance(node.target, torch._ops.OpOverload):
            continue
        if node.target._schema.name not in _SAME:
            continue
        bound = arguments(node)
        product = emit.call(
            GROUPED_MATMUL,
            like=node,
            val=node.meta["val"],
            x=bound["input"],
            weight=bound["weight"],
            ends=bound["offs"],
        )
        emit.replace(node, product)
        named += 1
    return named
