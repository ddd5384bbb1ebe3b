"""Values where a mask is true, as Compress of everything."""

from __future__ import annotations

from typing import Any

import torch
from onnxscript import opset18 as op

from rewrite import Lowering


def masked_select(self: Any, mask: Any) -> Any:
    """Translate aten.masked_select: the chosen values of both in their common shape, in a row."""
    # One of either side, and so in the shape of both.
    values = op.Where(mask, self, self)
    chosen = op.Expand(mask, op.Shape(values))
    flat = op.Constant(value_ints=[-1])
    return op.Compress(op.Reshape(values, flat), op.Reshape(chosen, flat), axis=0)


LOWERINGS = (Lowering(torch.ops.aten.masked_select.default, masked_select),)
