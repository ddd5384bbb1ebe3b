"""Small graphs, whole or with one thing wrong."""

from __future__ import annotations

import numpy as np
from onnx import helper
from runtimes.graphs import S8, U8, Graph

S16 = np.int16


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
