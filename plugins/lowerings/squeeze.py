"""Squeezes of several dimensions, which the exporter would trace the whole program for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from onnxscript import opset18 as op

from rewrite import Lowering


def squeeze_dims(self: Any, dim: Sequence[int]) -> Any:
    """Translate aten.squeeze.dims, whose dimensions are known to be ones."""
    return op.Squeeze(self, op.Constant(value_ints=list(dim))) if dim else op.Identity(self)


LOWERINGS = (Lowering(torch.ops.aten.squeeze.dims, squeeze_dims),)
