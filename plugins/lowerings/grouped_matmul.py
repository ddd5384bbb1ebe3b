"""Products of groups of rows: one Slice and one MatMul for each group."""

from __future__ import annotations

from typing import Any

from onnxscript import opset18 as op

from rewrite import Lowering
from rewrite.canonical.grouped_products import GROUPED_MATMUL


def grouped_matmul(x: Any, weight: Any, ends: Any) -> Any:
    """Translate rewrite.grouped_matmul; a group may have no rows."""
    first = op.Constant(value_ints=[0])
    groups = int(weight.shape[0])
    bounds = op.Concat(first, op.Cast(ends, to=7), axis=0)
    products = []
    for group in range(groups):
        start, end = (op.Slice(bounds, *_span(group + i), first) for i in (0, 1))
        matrix = op.Gather(weight, op.Constant(value_int=group), axis=0)
        products.append(op.MatMul(op.Slice(x, start, end, first), matrix))
    return products[0] if groups == 1 else op.Concat(*products, axis=0)


def _span(index: int) -> tuple[Any, Any]:
    return op.Constant(value_ints=[index]), op.Constant(value_ints=[index + 1])


LOWERINGS = (Lowering(GROUPED_MATMUL, grouped_matmul),)
