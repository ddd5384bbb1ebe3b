"""Of each known fault of OpenVINO: whether the installed version has it.

Each probe tells a fault by what the runtime makes of the plain form beside the form that files are
written in instead: where both fail, something else is wrong.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rewrite.runtimes import RuntimeFailure, get_runtime

from .graphs import S8, U8, Graph
from .verdicts import image

_LOWEST = np.float32(-3e38)
_CLOSE = 0.05
"""Of the largest value: steps of 8 bits are finer."""


def fires(graph: Graph, folder: Path, name: str) -> bool:
    """Return whether a layer runs in int8."""
    loaded = get_runtime("openvino").load(graph.save(folder / "m.onnx"), threads=1)
    return {verdict.node: verdict.fired for verdict in loaded.kernels()}[name]


def kinds_of(path: Path) -> list[str]:
    """Return the kinds of layers of the compiled model in order."""
    layers = get_runtime("openvino").load(path).compiled.get_runtime_model().get_ordered_ops()
    return [str(layer.get_rt_info()["layerType"].value) for layer in layers]


def outputs(graph: Graph, folder: Path, runtime: str = "openvino", **dims: int) -> np.ndarray:
    """Run a graph with the int8 kernels that users have, whatever the processor."""
    loaded = get_runtime(runtime).load(graph.save(folder / "m.onnx"), threads=1)
    if runtime == "openvino":
        loaded = dataclasses.replace(loaded, exact=loaded.usual)
    return next(iter(loaded.run(graph.feeds(**dims)).values()))


def agrees(make: Callable[[], Graph], folder: Path, **dims: int) -> bool:
    """Return whether a graph is what ONNX Runtime computes, which rounds where it says."""
    one, other = (outputs(make(), folder, name, **dims) for name in ("openvino", "onnxruntime"))
    return one.shape == other.shape and bool(
        np.abs(one - other).max() < _CLOSE * np.abs(other).max()
    )


def held(graph: Graph, x: str) -> str:
    """Add max(x, lowest) = x."""
    return graph.op("Max", x, graph.const(f"lowest_{len(graph.nodes)}", _LOWEST))


def activation_off_zero(folder: Path) -> bool:
    def is_int8(zero_point: int) -> bool:
        g, x = image(dtype=S8, zero_point=zero_point)
        g.output(g.conv(x, 4, 8, "c"))
        return fires(g, folder, "c")

    return is_int8(0) and not is_int8(5)


def unsigned_weight(folder: Path) -> bool:
    def is_int8(dtype, zero_point: int) -> bool:
        g, x = image()
        w = g.weight("w", [8, 4, 3, 3], dtype=dtype, zero_point=zero_point)
        g.output(g.qdq(g.op("Conv", x, w, name="c")))
        return fires(g, folder, "c")

    return is_int8(S8, 0) and not is_int8(U8, 128)


def operand_off_zero(folder: Path) -> bool:
    def is_int8(zero_point: int) -> bool:
        g = Graph()
        left = g.qdq(g.input("a", ["N", 2, "S", 16]), zero_point=zero_point)
        right = g.qdq(g.input("b", ["N", 2, 16, "S"]), dtype=S8, zero_point=0)
        g.output(g.op("MatMul", left, right, name="m"))
        return fires(g, folder, "m")

    return is_int8(0) and not is_int8(128)


def sixteen_bits(folder: Path) -> bool:
    """The verdict is of 8 bits alone, so the kernel's own name is read."""

    def kernel(dtype, zero_point: int) -> str:
        g, x = image(opset=21, dtype=dtype, zero_point=zero_point)
        g.output(g.conv(x, 4, 8, "c"))
        loaded = get_runtime("openvino").load(g.save(folder / "m.onnx"), threads=1)
        return loaded.kernels()[0].kernel.lower()

    return kernel(U8, 128).endswith("_i8") and not kernel(np.uint16, 32768).endswith("_i8")


def tokens(hidden: bool) -> Graph:
    """Return a token in front of the pixels of a convolution, for each image of a batch."""
    g = Graph(20)
    x = g.input("x", ["N", 3, 8, 8])
    weight = g.weight("w", [4, 3, 2, 2], axis=0)
    y = g.qdq(
        g.op(
            "Conv",
            g.qdq(x),
            weight,
            g.const("b", np.arange(4, dtype=np.float32)),
            name="c",
            strides=[2, 2],
        )
    )
    y = g.op("Transpose", g.op("Reshape", y, g.const("flat", [0, 4, 16])), perm=[0, 2, 1])
    size = g.op("Shape", x, start=0, end=1)
    if hidden:
        shape = g.op("Shape", x)
        zero = g.op("ReduceSum", g.op("Mul", shape, g.const("zeros", [0, 0, 0, 0])), keepdims=1)
        size = g.op("Gather", shape, g.op("Add", zero, g.const("first", [0])))
    shape = g.op("Concat", size, g.const("rest", [1, 4]), axis=0)
    g.output(g.op("Concat", g.op("Expand", g.floats("token", [1, 1, 4]), shape), y, axis=1))
    return g


def size_at_convolution(folder: Path) -> bool:
    plain, hidden = (agrees(lambda h=h: tokens(h), folder, N=3) for h in (False, True))
    return hidden and not plain


def concat_of_tokens(folder: Path) -> bool:
    def compiles(barrier: bool) -> bool:
        g = Graph(20)
        first, second = g.input("first", ["N", 1, 16]), g.input("second", ["N", 4, 16])
        y = g.op("Concat", first, g.qdq(second, scale=0.03, zero_point=113), axis=1)
        y = g.qdq(held(g, y) if barrier else y, zero_point=113)
        g.output(g.op("MatMul", y, g.weight("w", [16, 32], axis=1), name="m"))
        try:
            return fires(g, folder, "m")
        except RuntimeFailure:
            return False

    return compiles(True) and not compiles(False)


def squeezed_pool(folder: Path) -> bool:
    def kinds(squeezed: bool) -> set[str]:
        g = Graph(20)
        x = g.conv(g.qdq(g.input("x", ["N", 8, 6, 6])), 8, 16, "c")
        x, axes = g.qdq(g.op("Relu", x), zero_point=0), g.const("axes", [2, 3])
        if squeezed:
            y = g.op("Squeeze", g.op("GlobalAveragePool", x), axes)
        else:
            y = g.op("ReduceMean", x, axes, keepdims=0)
        y = g.qdq(y, scale=0.02, zero_point=0)
        g.output(g.op("MatMul", y, g.weight("w", [16, 8], axis=1), name="m"))
        found = kinds_of(g.save(folder / "m.onnx"))
        return {"Reorder", "Reshape", "FakeQuantize"} & set(found[found.index("Reduce") + 1 :])

    return bool(kinds(True)) and not kinds(False)


def products_without_a_bias(folder: Path) -> bool:
    def make(barrier: bool) -> Graph:
        g = Graph(20)
        x = g.qdq(g.input("x", [8, 32]))
        y = g.op("MatMul", x, g.weight("first", [32, 32], axis=1))
        y = g.qdq(g.op("Relu", held(g, y) if barrier else y), scale=0.05, zero_point=0)
        g.output(g.op("MatMul", y, g.weight("second", [32, 16], axis=1)))
        return g

    plain, barred = (agrees(lambda b=b: make(b), folder) for b in (False, True))
    return barred and not plain


def reshape_behind_scales(folder: Path) -> bool:
    def compiles(hidden: bool) -> bool:
        g = Graph(20)
        x = g.input("x", ["N", 4])
        y, shape = g.op("Mul", x, g.floats("v", [4])), g.const("shape", [-1, 10, 4])
        if hidden:
            zeros = g.op("ReduceSum", g.op("Mul", g.op("Shape", x), g.const("zeros", [0, 0])))
            shape = g.op("Add", shape, zeros)
        g.output(g.op("Reshape", y, shape))
        g.output(g.op("MatMul", g.qdq(x), g.weight("w2", [4, 4], axis=1)))
        try:
            return outputs(g, folder, N=20).shape == (2, 10, 4)
        except RuntimeFailure:
            return False

    return compiles(True) and not compiles(False)


def place_of_scaled_values(folder: Path) -> bool:
    def is_right(place: int | list[list[int]], barrier: bool) -> bool:
        def make() -> Graph:
            g = Graph(20)
            x = g.input("x", ["N", 4, 8])
            y = g.op("Mul", x, g.floats("v", [4, 1]))
            g.output(
                g.op("Gather", held(g, y) if barrier else y, g.const("place", place), axis=2),
                g.op("Conv", g.qdq(y), g.weight("w", [6, 4, 1], axis=0)),
            )
            return g

        try:
            return agrees(make, folder, N=20)
        except RuntimeFailure:
            return False

    one, table = 0, [[0, 1], [2, 3]]
    return all(is_right(p, True) and not is_right(p, False) for p in (one, table))


def norm_of_small_values(folder: Path) -> bool:
    def make(barrier: bool) -> Graph:
        g = Graph(20)
        x = g.op("Mul", g.input("x", ["N", 8, 16]), g.const("f", np.float32(0.004)))
        x = g.qdq(x, scale=0.001, zero_point=0)
        layer = g.op("MatMul", x, g.weight("w", [16, 8], axis=1))
        x = held(g, x) if barrier else x
        ones = g.const("ones", np.ones(16, np.float32))
        g.output(g.op("LayerNormalization", x, ones, g.floats("b", [16]), epsilon=1e-5), layer)
        return g

    plain, barred = (agrees(lambda b=b: make(b), folder, N=20) for b in (False, True))
    return barred and not plain


def boolean_in_a_product(folder: Path) -> bool:
    def make(chosen: bool) -> Graph:
        g = Graph(20)
        mask = g.input("mask", ["N", 6], bool)
        if chosen:
            ends = (g.const(f"end_{n}", np.float32(n)) for n in (1, 0))
            number = g.op("Where", mask, *ends)
        else:
            number = g.op("Cast", mask, to=1)
        product = g.op("Mul", number, g.const("two", np.float32(2)))
        g.output(product, g.op("Relu", g.qdq(g.input("x", ["N", 6]))))
        return g

    def is_right(chosen: bool) -> bool:
        try:
            return agrees(lambda: make(chosen), folder, N=2)
        except RuntimeFailure:
            return False

    return is_right(True) and not is_right(False)


def gelu_of_another_factor(folder: Path) -> bool:
    def make(barrier: bool) -> Graph:
        g = Graph(20)
        x = g.input("x", ["N", 64])
        cube = g.op("Pow", x, g.const("three", np.float32(3)))
        cubic = g.op("Mul", cube, g.const("cubic", np.float32(0.044715)))
        inner = g.op("Mul", g.op("Add", x, cubic), g.const("factor", np.float32(0.8)))
        tanh = g.op("Tanh", held(g, inner) if barrier else inner)
        half = g.op("Mul", x, g.const("half", np.float32(0.5)))
        g.output(g.op("Mul", half, g.op("Add", tanh, g.const("one", np.float32(1)))))
        return g

    def error(barrier: bool) -> float:
        one, other = (outputs(make(barrier), folder, n, N=4) for n in ("openvino", "onnxruntime"))
        return float(np.abs(one - other).max())

    return error(True) < 1e-5 and not error(False) < 1e-5


def channels_behind_reduction(folder: Path) -> bool:
    def make(barrier: bool) -> Graph:
        g = Graph(20)
        mean = g.op("GlobalAveragePool", g.input("x", ["N", 8, 12]))
        y = g.op("Max", mean, mean) if barrier else mean
        g.output(g.op("Mul", y, g.const("by_channel", np.float32(range(8)).reshape(8, 1))))
        return g

    plain, barred = (agrees(lambda b=b: make(b), folder, N=2) for b in (False, True))
    return barred and not plain


def product_read_again(folder: Path) -> bool:
    def make(barrier: bool) -> Graph:
        g, x = image(20)
        y = g.op("Conv", x, g.weight("w", [8, 4, 3, 3], axis=0), pads=[1] * 4)
        y = held(g, y) if barrier else y
        g.output(g.op("Relu", y), g.op("Neg", y))
        return g

    plain, barred = (agrees(lambda b=b: make(b), folder, N=2) for b in (False, True))
    return barred and not plain


def cast_input_given_out(folder: Path) -> bool:
    def changes(barrier: bool) -> bool:
        """Run as users do, who share the memory of their inputs."""
        g = Graph(20)
        half = g.op("Cast", g.input("x", ["N", 8]), to=10)
        back = g.op("Cast", half, to=1)
        g.output(g.op("Max", back, back) if barrier else back)
        loaded = get_runtime("openvino").load(g.save(folder / "m.onnx"), threads=1)
        given = [np.full((4, 8), number, np.float32) for number in range(6)]
        for each in given:
            loaded.compiled([each])
        return any((each != number).any() for number, each in enumerate(given))

    return changes(False) and not changes(True)


def flat_volume_of_one_channel(folder: Path) -> bool:
    def make(barrier: bool) -> Graph:
        g = Graph(20)
        x = g.qdq(g.input("x", ["N", 1, 1, 16, 16]), zero_point=0)
        weight = g.weight("w", [16, 1, 3, 3, 3], axis=0)
        layer = g.op("Conv", held(g, x) if barrier else x, weight, pads=[1] * 6)
        g.output(g.op("Relu", layer))
        return g

    plain, barred = (agrees(lambda b=b: make(b), folder, N=8) for b in (False, True))
    return barred and not plain


def quotient_by_reciprocal(folder: Path) -> bool:
    def is_right(barrier: bool) -> bool:
        g = Graph(20)
        x, seven = g.input("x", ["N", 8]), g.const("seven", np.float32([7]))
        quotient = g.op("Div", x, seven)
        if barrier:
            nearest = g.op("Round", quotient)
            is_exact = g.op("Equal", g.op("Mul", nearest, seven), x)
            quotient = g.op("Where", is_exact, nearest, quotient)
        g.output(g.op("Floor", quotient))
        loaded = get_runtime("openvino").load(g.save(folder / "division.onnx"), threads=1)
        numbers = np.arange(-400, 400, dtype=np.float32).reshape(-1, 8)
        (found,) = loaded.run({"x": numbers}).values()
        return bool((found == np.floor(numbers / np.float32(7))).all())

    return is_right(True) and not is_right(False)


def integers_divided_as_floats(folder: Path) -> bool:
    def is_right(barrier: bool) -> bool:
        g = Graph(20)
        x, seven = g.input("x", ["N", 8], np.int64), g.const("seven", np.int64([7]))
        rest = g.op("Sub", x, g.op("Mul", g.op("Div", x, seven), seven)) if barrier else x
        g.output(g.op("Cast", g.op("Mod", rest, seven), to=1))
        loaded = get_runtime("openvino").load(g.save(folder / "division.onnx"), threads=1)
        numbers = np.arange(10**9, 10**9 + 800).reshape(-1, 8)
        (found,) = loaded.run({"x": numbers}).values()
        return bool((found == numbers % 7).all())

    return is_right(True) and not is_right(False)


def products_of_one_feature(folder: Path) -> bool:
    def runs(product: str) -> bool:
        g = Graph(20)
        y = g.op("MatMul", g.input("x", [2, 8]), g.floats("first", [8, 1]))
        g.output(g.op(product, g.op("Relu", y), g.floats("second", [1, 1])))
        try:
            return outputs(g, folder).shape == (2, 1)
        except RuntimeFailure:
            return False

    return runs("Mul") and not runs("MatMul")


PROBES: dict[str, Callable[[Path], bool]] = {
    "signed-activations-off-zero": activation_off_zero,
    "unsigned-weights": unsigned_weight,
    "operands-off-zero": operand_off_zero,
    "sixteen-bit-activations": sixteen_bits,
    "size-moved-to-conv": size_at_convolution,
    "zero-point-behind-concat": concat_of_tokens,
    "squeezed-pool": squeezed_pool,
    "product-without-bias": products_without_a_bias,
    "reshape-of-scales": reshape_behind_scales,
    "gather-of-scales": place_of_scaled_values,
    "norm-of-integers": norm_of_small_values,
    "boolean-in-arithmetic": boolean_in_a_product,
    "gelu-of-near-factors": gelu_of_another_factor,
    "products-of-one-feature": products_of_one_feature,
    "channels-behind-reduction": channels_behind_reduction,
    "product-read-again": product_read_again,
    "cast-input-given-out": cast_input_given_out,
    "flat-volume-of-one-channel": flat_volume_of_one_channel,
    "quotient-by-reciprocal": quotient_by_reciprocal,
    "integers-divided-as-floats": integers_divided_as_floats,
}
