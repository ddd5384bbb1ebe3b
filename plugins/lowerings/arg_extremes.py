"""Places of the largest and the smallest values, NaN among them where an input may bring it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import onnx_ir as ir
import torch
from onnxscript import opset18 as op
from rewrite_plugins.lowerings.values import like

from rewrite import Lowering

_FLOATS = (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16)
_HANDED_ON = frozenset(
    {
        "Abs",
        "Cast",
        "Concat",
        "Expand",
        "Flatten",
        "Gather",
        "GatherElements",
        "Identity",
        "Neg",
        "Pad",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
        "Where",
    }
)
"""Operators that choose values and lay them out: a NaN behind them was in the data."""


def arg_extreme(
    find: Callable[..., Any],
    extreme: float,
    self: Any,
    dim: int | None = None,
    keepdim: bool = False,
) -> Any:
    """Translate aten.argmax and aten.argmin: the first place, and that of a NaN if there is one.

    ONNX says nothing of NaN, and runtimes pass over it. Where only arithmetic could have made one,
    there is none in a model that works, and the test would cost a pass over all values.
    """
    rank = len(self.shape)
    x = self
    if x.dtype in _FLOATS and _is_data(x):
        x = op.Where(op.IsNaN(x), like(extreme, x), x)
    if rank == 0 or dim is None:
        place = find(op.Reshape(x, op.Constant(value_ints=[-1])), axis=0, keepdims=0)
        kept = [1] * rank if keepdim and rank else []
        return op.Reshape(place, op.Constant(value_ints=kept)) if kept else place
    return find(x, axis=dim, keepdims=int(keepdim))


def _is_data(value: Any) -> bool:
    """Tell whether the values of an input may arrive as they are."""
    waiting, seen = [value], set()
    while waiting:
        value = waiting.pop()
        if value is None or value.name in seen:
            continue
        seen.add(value.name)
        node = value.producer()
        if node is None:
            if not value.is_initializer() and value.const_value is None:
                return True
        elif node.op_type in _HANDED_ON:
            waiting += [v for v in node.inputs if v is not None and v.dtype in _FLOATS]
    return False


LOWERINGS = (
    Lowering(torch.ops.aten.argmax.default, partial(arg_extreme, op.ArgMax, float("inf"))),
    Lowering(torch.ops.aten.argmin.default, partial(arg_extreme, op.ArgMin, float("-inf"))),
)
