"""For each rule one file that keeps it and one that breaks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from runtimes.graphs import S8, U8, Graph

from .builders import (
    S16,
    bare,
    blocks,
    bytes_in,
    bytes_inside,
    bytes_out,
    channel_scales_on_input,
    computed_scale,
    concat,
    conv,
    dynamic,
    fan_out,
    gemm,
    half_scales,
    integer_output,
    joined,
    matmul,
    moved,
    moved_integers,
    old_sixteen_bits,
    open_unit,
    product,
    residual,
    softmax,
    transposed,
    two_readers,
    unary,
    uncentred_weight,
    wide_activation,
)


@dataclass(frozen=True)
class Pair:
    """Two graphs, and the part of the message that the second one gets."""

    keeps: Callable[[], Graph]
    breaks: Callable[[], Graph]
    says: str


SMALL = np.full((4, 4), 64)
WIDE = np.full((4, 4), 65)

PAIRS: dict[str, Pair] = {
    "opset": Pair(unary, lambda: unary(opset=16), "opset 16: write 17 to 21"),
    "static-shapes": Pair(unary, lambda: unary(shape=("N", 4)), "'x' of dynamic size"),
    "no-unsigned": Pair(unary, lambda: unary(zero_point=128, dtype=U8), "is UINT8"),
    "signed-weights": Pair(conv, lambda: conv(dtype=U8), "weight of UINT8"),
    "bit-widths": Pair(
        lambda: unary(dtype=S16, opset=21),
        lambda: old_sixteen_bits(),
        "is INT16, which ONNX has from opset 21 on",
    ),
    "eight-bit-activations": Pair(
        lambda: wide_activation(U8), wide_activation, "reads UINT16, so it runs in float"
    ),
    "one-type": Pair(
        conv,
        lambda: conv(activation=S8, zero_point=0),
        "INT8 and UINT8",
    ),
    "zero-point-zero": Pair(unary, lambda: unary(zero_point=3), "has zero point 3"),
    "signed-zero-point-zero": Pair(
        lambda: unary(zero_point=128, dtype=U8), lambda: unary(zero_point=-128), "is int8"
    ),
    "explicit-zero-point": Pair(unary, bare, "has no zero point"),
    "positive-scales": Pair(unary, computed_scale, "computes its scale"),
    "power-of-two-scales": Pair(
        lambda: unary(scale=0.0625), lambda: unary(scale=0.06), "has scale 0.06"
    ),
    "per-tensor-activations": Pair(unary, channel_scales_on_input, "4 scales on an activation"),
    "per-tensor": Pair(lambda: conv(axis=None), conv, "has 8 scales: use one"),
    "float32-scales": Pair(unary, half_scales, "has a float16 scale: make it float32"),
    "half-scales": Pair(
        half_scales, lambda: half_scales(18), "ONNX has from opset 19 on (this file: 18)"
    ),
    "least-range": Pair(
        lambda: unary(scale=1e-6), lambda: unary(scale=1e-7), "covers a range of 2.6e-05"
    ),
    "weight-axis": Pair(matmul, lambda: matmul(axis=0), "along axis 0 of its weight: use axis 1"),
    "weight-range": Pair(
        lambda: matmul(values=SMALL, shape=(4, 4)),
        lambda: matmul(values=WIDE, shape=(4, 4)),
        "weights in [65, 65]: quantize them to [-64, 64]",
    ),
    "per-tensor-matmul": Pair(lambda: matmul(axis=None), matmul, "quantize it per tensor"),
    "matmul-layout": Pair(matmul, lambda: matmul(axis=0, turned=True), "through a Transpose"),
    "weight-blocks": Pair(blocks, lambda: blocks(size=8), "blocks of 8"),
    "gemm-factors": Pair(gemm, lambda: gemm(beta=0.5), "beta = 0.5"),
    "float-bias": Pair(lambda: conv(bias="float"), conv, "bias of INT32: keep it float"),
    "int32-bias": Pair(conv, lambda: conv(factor=2.0), "scale is off by 100%"),
    "int8-bias": Pair(lambda: conv(bias="int8"), conv, "bias of INT32: store it as int8"),
    "bias-shift": Pair(
        lambda: conv(None, bias="int8", factor=2.0**16),
        lambda: conv(None, bias="int8", factor=2.0**17),
        "is 2^17 of input · weight",
    ),
    "node-units": Pair(unary, open_unit, "its output is read in float"),
    "whole-joins": Pair(lambda: joined(False), lambda: joined(True), "input 1 is a float"),
    "quantizers-alone": Pair(conv, two_readers, "read in float by Sigmoid"),
    "conv-output": Pair(conv, lambda: conv(out=False), "has no quantizer behind it"),
    "pairs": Pair(unary, integer_output, "is read by Cast"),
    "shared-scale": Pair(lambda: moved(0.05), lambda: moved(0.1), "another scale or zero point"),
    "concat-scale": Pair(
        lambda: concat(0.05, 0.05, 0.05), lambda: concat(0.05, 0.1, 0.05), "several scales"
    ),
    "clamp-absorbed": Pair(
        lambda: conv(relu=0), lambda: conv(relu=128), "cut at 0, where the quantizer has"
    ),
    "signed-single-reader": Pair(lambda: fan_out(U8), lambda: fan_out(S8), "int8 to 2 readers"),
    "product-operands": Pair(product, lambda: product((128, U8)), "left side with a zero point"),
    "float-softmax": Pair(lambda: softmax(False), lambda: softmax(True), "is quantized"),
    "skip-only": Pair(
        lambda: residual(both=False), lambda: residual(both=True), "both sides quantized"
    ),
    "wide-layers": Pair(
        lambda: conv(channels=(16, 16)), lambda: conv(channels=(4, 12)), "12 × 4 channels"
    ),
}
MORE: list[tuple[str, Callable[[], Graph], str]] = [
    ("no-unsigned", dynamic, "is UINT8: quantize to int8"),
    ("no-unsigned", lambda: bytes_in(at_once=False), "has input 'x' of UINT8: cast it to float"),
    ("no-unsigned", lambda: bytes_in(at_once=False), "gives UINT8: use a signed type"),
    ("no-unsigned", lambda: bytes_out(quantized=True), "is UINT8"),
    ("no-unsigned", bytes_inside, "reads a constant of UINT8"),
    (
        "eight-bit-activations",
        lambda: product(right=(0, S16), opset=21),
        "reads INT16, so it runs in float",
    ),
    ("signed-weights", lambda: conv(dtype=U8), "store it as int8"),
    ("wide-layers", lambda: transposed(32, 8, 1), "a weight of 8 × 32 channels"),
    ("wide-layers", lambda: transposed(16, 64, 2), "a weight of 64 × 8 channels"),
    ("signed-weights", uncentred_weight, "has a weight with zero point 5"),
    ("weight-axis", lambda: conv(axis=1), "use axis 0"),
    ("int32-bias", lambda: conv(bias="float"), "has a float bias"),
    ("int8-bias", lambda: conv(bias="float"), "has a bias of float"),
    ("bias-shift", lambda: conv(None, bias="int8", factor=0.25), "is 2^-2 of input · weight"),
    ("node-units", lambda: joined(True), "input 1 is float"),
    ("pairs", lambda: moved_integers(dequantized=False), "is read by Cast"),
    ("pairs", lambda: moved_integers(output=True), "is read by no DequantizeLinear"),
    ("weight-blocks", lambda: blocks(axis=1), "store [K, N], axis 0"),
    ("product-operands", lambda: product(right=(0, U8)), "has a right side"),
    ("skip-only", lambda: residual(both=False, skip=False), "quantize the skip"),
    ("concat-scale", lambda: concat(0.05, 0.05, 0.05, inputs=False), "quantized behind and float"),
]
"""Other ways to break a rule."""
KEPT: list[tuple[str, Callable[[], Graph]]] = [
    ("wide-layers", lambda: transposed(64, 16, 2)),
    ("no-unsigned", bytes_in),
    ("no-unsigned", bytes_out),
    ("pairs", moved_integers),
]
"""Other ways to keep a rule."""
