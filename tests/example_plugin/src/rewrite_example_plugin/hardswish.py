"""Translate hardswish to one ONNX operator, which runtimes have a kernel for."""

from __future__ import annotations

from typing import Any

import torch
from onnxscript import opset20 as op

from rewrite import Lowering


def hardswish(self: Any) -> Any:
    """hardswish(x) = HardSwish(x), which ONNX has since opset 14."""
    return op.HardSwish(self)


HARDSWISH = Lowering(torch.ops.aten.hardswish.default, hardswish)
