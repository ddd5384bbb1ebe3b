"""Relu and Clip between an operator and its quantizer vanish if they change nothing there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from rewrite.lint.file import File, behind_clamp, quantizers_of, scales
from rewrite.lint.rule import Finding, Rule
from rewrite.runtimes.qdq_graph import QMAX, QMIN, constant, integer_type, zero_points


def _absorbed(file: File) -> Iterator[Finding]:
    for layer in file.layers:
        clamp, value = behind_clamp(layer.output)
        if clamp is None or not layer.is_quantized:
            continue
        for quantizer in quantizers_of(value):
            problem = _problem(clamp, quantizer)
            if problem:
                yield clamp, problem


def _problem(clamp: ir.Node, quantizer: ir.Node) -> str:
    dtype, step = integer_type(quantizer), scales(quantizer)
    if dtype not in QMIN or step is None:
        return ""
    point = int(zero_points(quantizer).reshape(-1)[0])
    low, high = _bounds(clamp)
    lowest = np.rint(low / step[0]) + point
    highest = np.rint(high / step[0]) + point
    if lowest > QMIN[dtype]:
        return (
            f"is cut at {low:g}, where the quantizer has zero point {point}: let its integers "
            f"begin there, at {QMIN[dtype]}"
        )
    if highest < QMAX[dtype]:
        return f"is cut at {high:g}, inside the range of the quantizer: let its integers end there"
    return ""


def _bounds(clamp: ir.Node) -> tuple[float, float]:
    if clamp.op_type == "Relu":
        return 0.0, np.inf
    given = [constant(value) for value in (*clamp.inputs[1:3], None, None)[:2]]
    low, high = (None if value is None else float(value.reshape(-1)[0]) for value in given)
    return -np.inf if low is None else low, np.inf if high is None else high


RULES = (
    Rule(
        "clamp-absorbed",
        "A Relu or Clip between an int8 layer and its quantizer ends where the integers end.",
        "ONNX Runtime, ClipQuantFusion and ReluQuantFusion",
        _absorbed,
    ),
)
