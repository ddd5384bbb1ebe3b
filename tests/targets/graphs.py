"""For each rule one file that keeps it and one that breaks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from onnx import helper
from runtimes.graphs import S8, U8, Graph

S16 = np.int16


@dataclass(frozen=True)
class Pair:
    """Two graphs, and the part of the message that the second one gets."""

    keeps: Callable[[], Graph]
    breaks: Callable[[], Graph]
    says: str


def unary(scale=0.05, zero_point=0, dtype=S8, opset: int = 17, shape=(2, 4)) -> Graph:
    """Return relu(qdq(x)), quantized behind as well."""
    g = Graph(opset)
    y = g.op("Relu", g.qdq(g.input("x", list(shape)), scale, zero_point, dtype))
    g.output(g.qdq(y, scale, zero_point, dtype))
    return g


def old_sixteen_bits() -> Graph:
    """Return 16 bits at opset 20, which the checker of `onnx` would not let through."""
    g = unary(dtype=S16, opset=21)
    g.written_opset = 20
    return g


def half_scales(written_opset: int = 19) -> Graph:
    """Return a pair of float16; the checker of `onnx` would not let it through below opset 19."""
    g = Graph(19)
    g.written_opset = written_opset
    x = g.op("Cast", g.input("x", [2, 4]), to=10)
    parameters = g.const("scale", np.float16(0.05)), g.const("zp", np.int8(0))
    q = g.op("QuantizeLinear", x, *parameters, name="q")
    g.output(g.op("DequantizeLinear", q, *parameters, name="dq"))
    return g


def bare() -> Graph:
    """Return a pair without zero points."""
    g = Graph()
    scale = g.const("scale", np.float32(0.05))
    q = g.op("QuantizeLinear", g.input("x", [2, 4]), scale, name="q")
    g.output(g.op("DequantizeLinear", q, scale, name="dq"))
    return g


def conv(
    axis: int | None = 0,
    dtype=S8,
    bias: str = "int32",
    factor: float = 1.0,
    out: bool = True,
    relu: int | None = None,
    channels: tuple[int, int] = (8, 8),
    activation=U8,
    zero_point: int = 128,
    out_dtype=U8,
) -> Graph:
    """Return one quantized convolution between quantizers, a Relu behind it with `relu`."""
    g = Graph()
    inside, outside = channels
    x = g.qdq(g.input("x", [1, inside, 6, 6]), 0.05, zero_point, activation)
    low = 128 if dtype is U8 else 0
    w = g.weight("w", [outside, inside, 3, 3], axis, dtype, low)
    if bias == "int32":
        b = [g.bias("b", outside, axis, factor)]
    elif bias == "int8":
        values = g.const("b", g.random.integers(-100, 100, outside).astype(S8))
        b = [g.dequantize(values, 0.0005 * factor, 0, S8)]
    else:
        b = [g.floats("b", [outside])] if bias == "float" else []
    y = g.op("Conv", x, w, *b, name="conv", pads=[1] * 4)
    if relu is not None:
        y = g.op("Relu", y, name="relu")
    g.output(g.qdq(y, 0.05, zero_point if relu is None else relu, out_dtype) if out else y)
    return g


def uncentred_weight() -> Graph:
    """Return a product with an int8 weight of zero point 5."""
    g = Graph()
    w = g.weight("w", [4, 4], zero_point=5)
    g.output(g.op("MatMul", g.qdq(g.input("x", [2, 4])), w, name="product"))
    return g


def transposed(inside: int, outside: int, groups: int) -> Graph:
    """Return a quantized transposed convolution with an oblong kernel."""
    g = Graph()
    x = g.qdq(g.input("x", [1, inside, 4, 4]))
    w = g.weight("w", [inside, outside // groups, 2, 1])
    g.output(g.op("ConvTranspose", x, w, name="conv", group=groups))
    return g


def matmul(axis: int | None = 1, turned: bool = False, shape=(16, 16), values=None) -> Graph:
    """Return x · W, W from behind a Transpose if `turned`."""
    g = Graph()
    x = g.qdq(g.input("x", [2, shape[0]]))
    if values is not None:
        w = g.dequantize(g.const("w", np.asarray(values, S8)), 0.01, 0, S8)
    else:
        w = g.weight("w", list(shape[::-1] if turned else shape), axis)
    if turned:
        w = g.op("Transpose", w, perm=[1, 0])
    g.output(g.op("MatMul", x, w, name="product"))
    return g


def blocks(size: int = 16, axis: int = 0) -> Graph:
    """Return x · W with a scale for each `size` inputs of an output."""
    g = Graph(21)
    values = g.const("w", g.random.integers(-100, 100, (32, 32)).astype(S8))
    shape = (32 // size, 32) if axis == 0 else (32, 32 // size)
    scale = g.const("w_scale", np.full(shape, 0.01, np.float32))
    point = g.const("w_zp", np.zeros(shape, S8))
    w = g.op("DequantizeLinear", values, scale, point, name="w_dq", axis=axis, block_size=size)
    g.output(g.op("MatMul", g.input("x", [2, 32]), w, name="product"))
    return g


def gemm(**factors: float) -> Graph:
    g = Graph()
    x = g.qdq(g.input("x", [2, 8]))
    g.output(g.op("Gemm", x, g.weight("w", [8, 8], 1), g.bias("b", 8, 0), name="fc", **factors))
    return g


def wide_activation(dtype=np.uint16) -> Graph:
    """Return a product of an activation of that type and an int8 weight."""
    g = Graph(21)
    x = g.qdq(g.input("x", [2, 4]), 0.001, 0, dtype)
    g.output(g.op("MatMul", x, g.weight("w", [4, 3]), name="product"))
    return g


def product(left=(0, S8), right=(0, S8), opset: int = 17) -> Graph:
    """Return a product of two activations."""
    g = Graph(opset)
    sides = [
        g.qdq(g.input(name, shape), 0.05, *side)
        for name, shape, side in (("a", [2, 4], left), ("b", [4, 3], right))
    ]
    g.output(g.op("MatMul", *sides, name="product"))
    return g


def softmax(quantized: bool) -> Graph:
    g = Graph()
    y = g.op("Softmax", g.input("x", [2, 4]), name="softmax")
    g.output(g.qdq(y, 1 / 255, 0) if quantized else y)
    return g


def joined(constant: bool) -> Graph:
    """Return x + c between quantizers, the constant quantized or float."""
    g = Graph()
    x = g.qdq(g.input("x", [2, 4]))
    c = g.floats("c", [4]) if constant else g.qdq(g.floats("c", [4]))
    g.output(g.qdq(g.op("Add", x, c, name="add")))
    return g


def residual(both: bool, skip: bool = True) -> Graph:
    """Return x + conv(x): the skip quantized, and the branch too if `both`."""
    g = Graph()
    x = g.input("x", [1, 8, 6, 6])
    q = g.qdq(x, zero_point=0, dtype=S8)
    y = g.op("Conv", q, g.weight("w", [8, 8, 3, 3], 0), name="conv", pads=[1] * 4)
    y = g.qdq(y, zero_point=0, dtype=S8) if both else y
    g.output(g.op("Add", y, q if skip else x, name="add"))
    return g


def concat(*scales: float, inputs: bool = True) -> Graph:
    """Return a Concat of two inputs at two scales, quantized at the third."""
    g = Graph()
    sides = [g.input(name, [2, 4]) for name in "ab"]
    if inputs:
        sides = [g.qdq(x, scale) for x, scale in zip(sides, scales, strict=False)]
    g.output(g.qdq(g.op("Concat", *sides, name="concat", axis=1), scales[2]))
    return g


def moved(after: float) -> Graph:
    g = Graph()
    y = g.op("Transpose", g.qdq(g.input("x", [2, 4])), name="turn", perm=[1, 0])
    g.output(g.qdq(y, after))
    return g


def fan_out(dtype) -> Graph:
    """Return two readers of one quantizer."""
    g = Graph()
    x = g.qdq(g.input("x", [1, 8, 6, 6]), zero_point=0, dtype=dtype)
    for name in ("one", "two"):
        g.output(g.qdq(g.conv(x, 8, 8, name)))
    return g


def two_readers() -> Graph:
    """Return a convolution that a quantizer and a Sigmoid read."""
    g = Graph()
    y = g.conv(g.qdq(g.input("x", [1, 8, 6, 6])), 8, 8, "conv")
    g.output(g.qdq(y), g.op("Sigmoid", y))
    return g


def integer_output() -> Graph:
    """Return integers that are read as they are."""
    g = Graph()
    q = g.quantize(g.input("x", [2, 4]), name="q")
    g.output(g.op("Cast", q, to=1))
    return g


def dynamic() -> Graph:
    """Return a product that finds its scale when it runs."""
    g = Graph()
    x, scale, point = "dynamic_out", "dynamic_scale", "dynamic_point"
    g.nodes.append(
        helper.make_node("DynamicQuantizeLinear", [g.input("x", [2, 4])], [x, scale, point], "d")
    )
    w = g.const("w", np.ones((4, 4), S8))
    y = g.op("Cast", g.op("MatMulInteger", x, w, point, name="product"), to=1)
    g.output(g.op("Mul", y, scale))
    return g


def bytes_in(*, at_once: bool = True) -> Graph:
    """Return relu(x) of bytes, cast to float before anything else or behind a Reshape."""
    g = Graph()
    x = g.input("x", [2, 4], np.uint8)
    x = x if at_once else g.op("Reshape", x, g.const("shape", [8]), name="flat")
    g.output(g.op("Relu", g.op("Cast", x, to=1)))
    return g


def bytes_out(*, quantized: bool = False) -> Graph:
    """Return bytes, as a Cast of float or as what a quantizer gives."""
    g = Graph()
    x = g.input("x", [2, 4])
    g.output(g.quantize(x) if quantized else g.op("Cast", x, to=2))
    return g


def bytes_inside() -> Graph:
    """Return x · w, w stored as bytes."""
    g = Graph()
    w = g.op("Cast", g.const("w", np.ones((4, 4), np.uint8)), name="bytes", to=1)
    g.output(g.op("MatMul", g.input("x", [2, 4]), w))
    return g


def moved_integers(*, dequantized: bool = True, output: bool = False) -> Graph:
    """Return integers moved by blocks and cut between the pair, as strided layers read them."""
    g = Graph()
    q = g.quantize(g.input("x", [1, 2, 4, 4]), name="q")
    y = g.op("SpaceToDepth", q, name="blocks", blocksize=2)
    y = g.op("Transpose", g.op("Reshape", y, g.const("shape", [8, 4]), name="flat"), perm=[1, 0])
    g.output(g.dequantize(y) if dequantized else g.op("Cast", y, to=1), *([y] if output else []))
    return g


def channel_scales_on_input() -> Graph:
    g = Graph()
    scale, points = np.full(4, 0.05, np.float32), np.zeros(4, S8)
    q = g.quantize(g.input("x", [2, 4]), scale, points, S8, name="q")
    g.output(g.dequantize(q, scale, points, S8, axis=1))
    return g


def computed_scale() -> Graph:
    g = Graph()
    scale = g.op("Exp", g.input("s", []), name="exp")
    point = g.const("zp", np.int8(0))
    q = g.op("QuantizeLinear", g.input("x", [2, 4]), scale, point, name="q")
    g.output(g.op("DequantizeLinear", q, scale, point, name="dq"))
    return g


def open_unit() -> Graph:
    """Return a Sigmoid whose result is read in float."""
    g = Graph()
    g.output(g.op("Sigmoid", g.qdq(g.input("x", [2, 4])), name="sigmoid"))
    return g


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
