"""Functions of sizes known at run time that the exporter has no translation of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx_ir as ir
import torch
from onnxscript import opset18 as op


def square_root(a: Any) -> Any:
    """Translate √n."""
    number: Any = op.Cast(a, to=ir.DataType.FLOAT)
    return op.Sqrt(number)


def nearest(number: Any, digits: None = None) -> Any:
    """Translate round(n): halves go to the even one, as in Python."""
    return op.Cast(op.Round(number), to=ir.DataType.INT64)


SYMBOLIC_SIZES: dict[Any, Callable[..., Any]] = {
    torch._sym_sqrt: square_root,  # type: ignore[attr-defined]
    round: nearest,
}
