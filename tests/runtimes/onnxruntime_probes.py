"""Of each known fault of ONNX Runtime: whether the installed version has it.

Each probe tells a fault by what the runtime makes of the plain form beside the form that files are
written in instead: where both fail, something else is wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

from rewrite.runtimes import KernelVerdict, RuntimeFailure, get_runtime
from rewrite.runtimes.onnxruntime import optimized_graph

from .graphs import S8, Graph, transformer_block
from .verdicts import image, rows

_LEVELS = onnxruntime.GraphOptimizationLevel
_LOWEST = np.float32(-3e38)
_SLOWER = 1.5
"""Times as long as with int8 weights: it was 3.6 times."""


def verdicts(graph: Graph, folder: Path) -> dict[str, KernelVerdict]:
    """Return what the runtime makes of each product and convolution, by name."""
    loaded = get_runtime("onnxruntime").load(graph.save(folder / "m.onnx"), threads=1)
    return {verdict.node: verdict for verdict in loaded.kernels()}


def kinds(graph: Graph, folder: Path) -> Counter[str]:
    """Return how often each operator is in the graph that the runtime makes of a file."""
    return Counter(node.op_type for node in optimized_graph(graph.save(folder / "m.onnx"), 1))


def held(graph: Graph, x: str) -> str:
    """Add max(x, lowest) = x."""
    return graph.op("Max", x, graph.const(f"lowest_{len(graph.nodes)}", _LOWEST))


def layer(graph: Graph, x: str, name: str) -> str:
    """Add a quantized product of 16 numbers with 16 columns, and its bias."""
    bias = graph.bias(f"{name}_b", 16, axis=0)
    return graph.op("Gemm", x, graph.weight(f"{name}_w", [16, 16], axis=1), bias, name=name)


def signed_operands(folder: Path) -> bool:
    def loads(dtype) -> bool:
        g, x = rows(("N", 8, 16), opset=21, dtype=dtype, zero_point=0)
        x = g.op("Transpose", x, perm=[0, 2, 1])
        g.output(g.op("MatMul", x, g.weight("w", [8, 8]), name="m"))
        try:
            get_runtime("onnxruntime").load(g.save(folder / "m.onnx"), threads=1)
        except RuntimeFailure:
            return False
        return True

    return loads(np.uint8) and not loads(S8)


def quantizers_of_opset_23(folder: Path) -> bool:
    """One behind a product and a Transpose is joined with the product, or is not."""
    new, old = (
        [verdict.kernel for verdict in verdicts(transformer_block(opset), folder).values()]
        for opset in (23, 20)
    )
    return new.count("QLinearMatMul") < old.count("QLinearMatMul")


def signed_fan_out(folder: Path) -> bool:
    def fires(dtype, zero_point: int) -> bool:
        g, x = image(dtype=dtype, zero_point=zero_point)
        skip = g.qdq(g.conv(x, 4, 8, "first"), dtype=dtype, zero_point=zero_point)
        y = g.qdq(g.conv(skip, 8, 8, "second"), dtype=dtype, zero_point=zero_point)
        g.output(g.qdq(g.op("Add", y, skip), dtype=dtype, zero_point=zero_point))
        return all(verdict.fired for verdict in verdicts(g, folder).values())

    return fires(np.uint8, 128) and not fires(S8, 0)


def unsigned_weights(folder: Path) -> bool:
    times = []
    for dtype, zero_point in ((S8, 0), (np.uint8, 128)):
        g = Graph()
        y = g.qdq(g.input("x", [1, 64, 28, 28]))
        for number in range(2):
            w = g.weight(f"w{number}", [64, 64, 3, 3], dtype=dtype, zero_point=zero_point)
            y = g.qdq(g.op("Conv", y, w, pads=[1] * 4))
        g.output(y)
        loaded = get_runtime("onnxruntime").load(g.save(folder / "m.onnx"), threads=1)
        times.append(min(loaded.latency(g.feeds(), repeats=30, seconds=0.2)))
    return times[1] > _SLOWER * times[0]


def relu_behind_product(folder: Path) -> bool:
    def fires(relu: str) -> bool:
        g, x = rows()
        zero = [g.const("zero", np.float32(0))] if relu == "Max" else []
        g.output(g.op("Sin", g.op(relu, layer(g, x, "m"), *zero)))
        return verdicts(g, folder)["m"].fired

    return fires("Max") and not fires("Relu")


def product_read_twice(folder: Path) -> bool:
    def fires(barrier: bool) -> bool:
        g, x = rows()
        first = layer(g, x, "first")
        second = layer(g, g.qdq(held(g, first) if barrier else first), "second")
        g.output(g.op("Add", second, first))
        return verdicts(g, folder)["first"].fired

    return fires(True) and not fires(False)


def pool_of_floats(folder: Path) -> bool:
    def is_moved(barrier: bool) -> bool:
        g = Graph(20)
        y = g.op("Tanh", g.input("x", ["N", 4, 8, 8]))
        y = g.op("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
        g.output(g.qdq(g.conv(g.qdq(held(g, y) if barrier else y), 4, 8, "c")))
        graph = optimized_graph(g.save(folder / "m.onnx"), 1)
        (pool,) = (node for node in graph if node.op_type == "MaxPool")
        return pool.inputs[0].producer().op_type == "QuantizeLinear"

    return is_moved(False) and not is_moved(True)


def silu_in_two_kernels(folder: Path) -> bool:
    g, x = image()
    x = g.qdq(g.conv(x, 4, 4, "before"))
    g.output(g.qdq(g.conv(g.qdq(g.op("Mul", x, g.op("Sigmoid", x))), 4, 8, "behind")))
    found = kinds(g, folder)
    return found["Sigmoid"] == 1 and not found["QuickGelu"]


def float_weight(folder: Path) -> bool:
    def kernel(barrier: bool) -> str:
        g, x = image()
        x = g.qdq(g.op("Relu", g.conv(x, 4, 4, "before")), zero_point=0)
        x = held(g, x) if barrier else x
        y = g.op("Conv", x, g.floats("w", [4, 4, 3, 3]), g.floats("b", [4]), name="c")
        g.output(g.qdq(g.op("Relu", y), zero_point=0))
        return verdicts(g, folder)["c"].kernel

    return kernel(False) == "QLinearConv" != kernel(True)


def output_behind_a_transpose(folder: Path, barrier: bool = False, moved: bool = True) -> bool:
    """Return whether the output of a Tanh is rounded that a quantized layer reads as well."""
    g = Graph(20)
    y = first = g.op("Tanh", g.input("x", [2, 16, 16]))
    y = held(g, y) if barrier else y
    y = g.op("Transpose", y, perm=[0, 2, 1]) if moved else y
    g.output(first, g.op("MatMul", g.qdq(y, scale=0.02), g.weight("w", [16, 8], axis=1)))
    return _is_optimized_to_another(g, folder)


def sixteen_bits_rounded(folder: Path) -> bool:
    """Return whether a product of 16-bit activations is another one than without optimizations."""

    def differs(barrier: bool) -> bool:
        g, x = rows(("N", 64), opset=21, scale=8 / 65535, dtype=np.uint16, zero_point=32768)
        w = g.weight("w", [64, 16], axis=1)
        g.output(g.op("MatMul", x, held(g, w) if barrier else w))
        return _is_optimized_to_another(g, folder)

    return differs(False) and not differs(True)


def _is_optimized_to_another(graph: Graph, folder: Path) -> bool:
    path, feeds = str(graph.save(folder / "m.onnx")), graph.feeds(N=4)
    plain = onnxruntime.SessionOptions()
    plain.graph_optimization_level = _LEVELS.ORT_DISABLE_ALL
    sessions = (onnxruntime.InferenceSession(path, plain), onnxruntime.InferenceSession(path))
    right, found = (session.run(None, feeds)[0] for session in sessions)
    return bool(np.abs(right - found).max() > 1e-3)


PROBES: dict[str, Callable[[Path], bool]] = {
    "signed-operands-from-opset-21": signed_operands,
    "quantizers-of-opset-23": quantizers_of_opset_23,
    "signed-activations-on-x86": signed_fan_out,
    "unsigned-weights-on-x86": unsigned_weights,
    "float-relu-behind-product": relu_behind_product,
    "product-read-twice": product_read_twice,
    "quantizer-moved-past-pool": pool_of_floats,
    "silu-behind-dequantizer": silu_in_two_kernels,
    "float-weight-quantized": float_weight,
    "quantizer-moved-past-output": output_behind_a_transpose,
    "sixteen-bits-rounded": sixteen_bits_rounded,
}
