"""Functions of sizes known at run time that the exporter has no right translation of."""

from __future__ import annotations

import operator
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


def floored_quotient(a: Any, b: Any) -> Any:
    """Translate a // b: Div of integers rounds to 0, and Mod has the sign of b, as in Python."""
    return op.Div(op.Sub(a, op.Mod(a, b)), b)


SYMBOLIC_SIZES: dict[Any, Callable[..., Any]] = {
    torch._sym_sqrt: square_root,  # type: ignore[attr-defined]
    round: nearest,
    operator.floordiv: floored_quotient,
}
