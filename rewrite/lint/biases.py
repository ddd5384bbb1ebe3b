"""Biases: float, int32 at the scale of the product, or int8 at one of their own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from rewrite.lint.file import File, Layer
from rewrite.lint.rule import Finding, Rule
from rewrite.runtimes.qdq_graph import dequantized

LARGEST_SCALE_ERROR = 0.01
"""Relative; ONNX Runtime takes a Conv's bias up to this and no other."""
LARGEST_SHIFT = 16
"""In bits; Vitis AI's compiler takes min(0, shift_cut - 16) <= shift_bias <= 16."""


def _float(file: File) -> Iterator[Finding]:
    for layer in file.layers:
        side = dequantized(layer.bias)
        if side is not None:
            yield layer.node, f"has a bias of {side.dtype.name}: keep it float"


def _int32(file: File) -> Iterator[Finding]:
    for layer in file.layers:
        if layer.bias is not None and layer.is_quantized and layer.has_weight:
            problem = _problem(layer)
            if problem:
                yield layer.node, problem


def _int8(file: File) -> Iterator[Finding]:
    for layer in file.layers:
        if layer.bias is None or not layer.is_quantized or not layer.has_weight:
            continue
        side = dequantized(layer.bias)
        if side is None or side.dtype is not ir.DataType.INT8:
            name = "float" if side is None else side.dtype.name
            yield layer.node, f"has a bias of {name}: store it as int8 at a scale of its own"


def _shift(file: File) -> Iterator[Finding]:
    for layer in file.layers:
        bias, x, w = dequantized(layer.bias), layer.activation, layer.weight
        if bias is None or x is None or w is None or not layer.has_weight:
            continue
        if bias.scale is None or x.scale is None or w.scale is None:
            continue
        product = np.asarray(x.scale, np.float64) * w.scale
        shifts = np.log2(bias.scale / product).round(3)
        low, high = float(shifts.min()), float(shifts.max())
        if low < 0 or high > LARGEST_SHIFT:
            yield (
                layer.node,
                f"has a bias whose scale is 2^{high if high > 0 else low:g} of input · weight "
                f"scale: make it 2^0 to 2^{LARGEST_SHIFT}",
            )


def _problem(layer: Layer) -> str:
    side = dequantized(layer.bias)
    if side is None:
        return "has a float bias: store it as int32 at input scale · weight scale"
    if side.dtype is not ir.DataType.INT32:
        return f"has a bias of {side.dtype.name}: store it as int32 at input scale · weight scale"
    assert layer.activation is not None and layer.weight is not None
    found = side.scale, layer.activation.scale, layer.weight.scale
    if any(s is None for s in found):
        return ""
    bias, x, w = (np.asarray(s, np.float64).reshape(-1) for s in found)
    if bias.size not in (1, (x * w).size):
        return f"has {bias.size} scales of the bias for {(x * w).size} channels"
    error = float(np.max(np.abs(bias / (x * w) - 1)))
    if error > LARGEST_SCALE_ERROR:
        return f"has a bias whose scale is off by {error:.0%}: it must be input · weight scale"
    return ""


RULES = (
    Rule(
        "float-bias",
        "Biases are float.",
        "TensorRT#3360, onnx-tensorrt#850: int32 is no activation type of a layer",
        _float,
    ),
    Rule(
        "int32-bias",
        "The bias of a quantized layer is int32 at input scale · weight scale.",
        "ONNX Runtime, qdq_selectors.cc: the third DequantizeLinear of Conv and Gemm is int32",
        _int32,
    ),
    Rule(
        "int8-bias",
        "The bias of a quantized layer is int8.",
        "Vitis AI, vai_q_onnx: quantize_bias_tensor; MQBench, Vitis AI backend",
        _int8,
    ),
    Rule(
        "bias-shift",
        "The scale of a bias is 2^0 to 2^16 of input scale · weight scale.",
        "Vitis AI, vai_q_onnx refine.py: adjust_shift_bias, whatever the output's scale",
        _shift,
    ),
)
