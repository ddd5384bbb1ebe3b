"""What OpenVINO gets wrong or slow, and the forms that files are written in instead."""

from __future__ import annotations

import numpy as np
import pytest

from rewrite.runtimes import RuntimeFailure, get_runtime

from .graphs import Graph
from .openvino_probes import outputs
from .test_openvino import check
from .verdicts import needs_vnni

openvino = pytest.importorskip("openvino")
pytestmark = pytest.mark.skipif(
    "INT8" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"),
    reason="OpenVINO has no int8 kernels for this CPU",
)


@pytest.fixture
def ov(verdicts):
    return lambda graph, **dims: verdicts(graph, "openvino", **dims)


def joined(reader: str, barrier: bool = False, zero_point: int = 113) -> Graph:
    """Return a product of rows joined along axis 1, quantized with a zero point behind that."""
    g = Graph(20)
    first, second = g.input("first", ["N", 1, 16]), g.input("second", ["N", 4, 16])
    y = g.op("Concat", first, g.qdq(second, scale=0.03, zero_point=zero_point), axis=1)
    y = g.op("Max", y, g.const("lowest", np.float32(-3e38))) if barrier else y
    y = g.op(reader, y) if reader == "Relu" else y
    y = g.qdq(y, zero_point=zero_point)
    y = g.op(reader, y, perm=[1, 0, 2]) if reader == "Transpose" else y
    g.output(g.op("MatMul", y, g.weight("w", [16, 32], axis=1), name="m"))
    return g


@pytest.mark.parametrize("reader", ["MatMul", "Relu", "Transpose"])
def test_quantizer_behind_a_concat_along_other_axes_than_the_last(reader, ov):
    with pytest.raises(RuntimeFailure, match="MatMulTransformation"):
        ov(joined(reader))
    check(ov(joined(reader, barrier=True))["m"], "FullyConnected")
    check(ov(joined(reader, zero_point=0))["m"], "FullyConnected")


def product_chain(size: int | str, barrier: bool = False) -> Graph:
    """Return two products without biases and a ReLU between them."""
    g = Graph(20)
    x = g.qdq(g.input("x", [size, 32]))
    y = g.op("MatMul", x, g.weight("first", [32, 32], axis=1))
    y = g.op("Max", y, g.const("lowest", np.float32(-3e38))) if barrier else y
    y = g.qdq(g.op("Relu", y), scale=0.05, zero_point=0)
    g.output(g.op("MatMul", y, g.weight("second", [32, 16], axis=1)))
    return g


@needs_vnni
@pytest.mark.parametrize(
    ("size", "barrier", "right"), [(8, False, False), (8, True, True), ("N", False, True)]
)
def test_products_of_fixed_size_without_a_bias(size, barrier, right, tmp_path):
    g = product_chain(size, barrier)
    path, feeds = g.save(tmp_path / "m.onnx"), g.feeds(N=8)
    one, other = (
        next(iter(get_runtime(n).load(path, threads=1).run(feeds).values()))
        for n in ("openvino", "onnxruntime")
    )
    assert np.allclose(one, other, atol=0.05 * np.abs(other).max()) is right


@needs_vnni
def test_products_that_become_one_kernel(ov):
    found = ov(product_chain(8, barrier=True))
    for name in ("matmul_3", "matmul_9"):
        check(found[name], "Subgraph", reason="names the type of its input only")


POOLS = {
    "squeezed": lambda g, x: g.op("Squeeze", g.op("GlobalAveragePool", x), g.const("axes", [2, 3])),
    "mean": lambda g, x: g.op("ReduceMean", x, g.const("axes", [2, 3]), keepdims=0),
}


def kinds_of(path) -> list[str]:
    """Return the kinds of layers of the compiled model in order."""
    config = {"INFERENCE_PRECISION_HINT": "f32"}
    layers = openvino.Core().compile_model(str(path), "CPU", config).get_runtime_model()
    return [str(op.get_rt_info()["layerType"].value) for op in layers.get_ordered_ops()]


@pytest.mark.parametrize("form", POOLS)
def test_quantizer_behind_a_pool(form, tmp_path):
    g = Graph(20)
    x = g.qdq(g.op("Relu", g.conv(g.qdq(g.input("x", ["N", 8, 6, 6])), 8, 16, "c")), zero_point=0)
    y = g.qdq(POOLS[form](g, x), scale=0.02, zero_point=0)
    g.output(g.op("MatMul", y, g.weight("w", [16, 8], axis=1), name="m"))
    kinds = kinds_of(g.save(tmp_path / "m.onnx"))
    behind = kinds[kinds.index("Reduce") + 1 :]
    own = {"Reorder", "Reshape", "FakeQuantize"}
    assert own & set(behind) == (own if form == "squeezed" else set())


@pytest.mark.parametrize(("batch", "carried_out"), [(2, False), ("N", True)])
def test_permute_behind_a_convolution(batch, carried_out, tmp_path):
    def norm(flat: bool) -> list[str]:
        g = Graph()
        y = g.conv(g.qdq(g.input("x", [batch, 8, 6, 6])), 8, 16, "c")
        y = g.op("Reshape", y, g.const("flat", [-1, 16, 36])) if flat else y
        y = g.op("Transpose", y, perm=[0, 2, 1] if flat else [0, 2, 3, 1])
        g.output(g.op("LayerNormalization", y, g.floats("gamma", [16]), g.floats("beta", [16])))
        return kinds_of(g.save(tmp_path / f"{flat}.onnx"))

    assert {"Transpose", "Reduce"} <= set(norm(flat=False))
    flat = norm(flat=True)
    assert "MVN" in flat
    assert ("Transpose" in flat) is carried_out


SCALES = {
    "a factor": lambda g, x: g.op("Mul", x, g.floats("v", [4])),
    "a factor and a shift": lambda g, x: g.op("Add", SCALES["a factor"](g, x), g.floats("b", [4])),
    "a norm": lambda g, x: g.op("LayerNormalization", x, g.floats("v", [4])),
    "a product": lambda g, x: g.op("MatMul", g.qdq(x), g.weight("w", [4, 4], axis=1)),
}


def rows_apart(scaled, shape: list[int], hidden: bool) -> Graph:
    """Return rows of four with scales per channel in another shape, beside an int8 layer."""
    g = Graph(20)
    x = g.input("x", ["N", 4])
    y, shape = scaled(g, x), g.const("shape", shape)
    if hidden:
        zeros = g.op("ReduceSum", g.op("Mul", g.op("Shape", x), g.const("zeros", [0, 0])))
        shape = g.op("Add", shape, zeros)
    g.output(g.op("Reshape", y, shape))
    g.output(g.op("MatMul", g.qdq(x), g.weight("w2", [4, 4], axis=1)))
    return g


@pytest.mark.parametrize("scaled", SCALES)
def test_reshape_behind_scales(scaled, tmp_path):
    with pytest.raises(RuntimeFailure, match="ReshapeTransformation"):
        outputs(rows_apart(SCALES[scaled], [-1, 10, 4], hidden=False), tmp_path, N=20)
    right = rows_apart(SCALES[scaled], [-1, 10, 4], hidden=True)
    found = outputs(right, tmp_path, N=20)
    assert found.shape == (2, 10, 4)


def test_reshape_behind_scales_that_computes_something_else(tmp_path):
    for hidden in (False, True):
        one, other = (
            outputs(rows_apart(SCALES["a factor"], [-1, 4, 10], hidden), tmp_path, name, N=20)
            for name in ("openvino", "onnxruntime")
        )
        assert np.allclose(one, other, atol=0.05 * np.abs(other).max()) is hidden


@pytest.mark.parametrize(
    ("scale", "point", "right"), [(0.001, 0, False), (0.001, 128, True), (0.05, 0, True)]
)
@pytest.mark.parametrize("kind", ["LayerNormalization", "InstanceNormalization"])
def test_norm_of_small_values(kind, scale, point, right, tmp_path):
    """The epsilon is not scaled along with the integers."""
    for barrier in (False, True):
        results = []
        for runtime in ("openvino", "onnxruntime"):
            g = Graph(20)
            x = g.op("Mul", g.input("x", ["N", 8, 16]), g.const("f", np.float32(4 * scale)))
            x = g.qdq(x, scale=scale, zero_point=point)
            layer = g.op("MatMul", x, g.weight("w", [16, 8], axis=1))
            x = g.op("Max", x, g.const("lowest", np.float32(-3e38))) if barrier else x
            size = 16 if kind == "LayerNormalization" else 8
            ones = g.const("ones", np.ones(size, np.float32))
            g.output(g.op(kind, x, ones, g.floats("b", [size]), epsilon=1e-5), layer)
            results.append(outputs(g, tmp_path, runtime, N=20))
        one, other = results
        assert np.allclose(one, other, atol=0.05) is (right or barrier)


def test_circular_padding(tmp_path):
    g = Graph(20)
    g.output(g.op("Pad", g.input("x", ["N", 4]), g.const("pads", [0, 1, 0, 1]), mode="wrap"))
    with pytest.raises(RuntimeFailure):
        outputs(g, tmp_path, N=20)
