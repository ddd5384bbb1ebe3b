"""A quantized file whose quantizers are arithmetic computes what the file says."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from rewrite.runtimes import get_runtime
from rewrite.runtimes.float_quantizers import write

from .graphs import Graph

RANGES = {
    "uint8": (np.uint8, 113, 20),
    "int8": (np.int8, 0, 20),
    "int8 off zero": (np.int8, -7, 20),
    "uint16": (np.uint16, 30000, 21),
}


def in_another_order(dtype=np.uint8, zero_point=113, opset=20) -> Graph:
    """Return a convolution behind a transposition that is quantized."""
    g = Graph(opset)
    x = g.op("Transpose", g.input("x", [2, 4, 8, 8]), perm=[0, 2, 1, 3])
    x = g.qdq(x, scale=0.03, zero_point=zero_point, dtype=dtype)
    g.output(g.op("Conv", x, g.weight("w", [4, 8, 1, 1], axis=0)))
    return g


def replaced(graph: Graph, folder, floats):
    """Write a graph and the other form of it; return both paths and what is left of Q."""
    floats.mkdir()
    path = graph.save(folder / "m.onnx")
    other = write(path, floats)
    left = [n for n in onnx.load(other).graph.node if n.op_type == "QuantizeLinear"]
    return path, other, left


@pytest.mark.parametrize("name", RANGES)
def test_it_rounds_and_saturates_as_the_file_says(name, tmp_path):
    dtype, zero_point, opset = RANGES[name]
    graph = in_another_order(dtype, zero_point, opset)
    path, other, left = replaced(graph, tmp_path, tmp_path / "floats")
    assert not left
    run = get_runtime("onnxruntime").load
    for size in (1.0, 30.0):
        feeds = {"x": size * graph.feeds()["x"]}
        (wanted,), (found,) = (run(p, 1).run(feeds).values() for p in (path, other))
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_openvino_computes_it_exactly_behind_a_transposition(tmp_path):
    pytest.importorskip("openvino")
    graph = in_another_order()
    _, other, _ = replaced(graph, tmp_path, tmp_path / "floats")
    one, two = (get_runtime(n).load(other, 1) for n in ("openvino", "onnxruntime"))
    feeds = graph.feeds()
    (found,), (wanted,) = (each.run(feeds).values() for each in (one, two))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_a_quantizer_with_a_scale_per_channel_stays(tmp_path):
    g = Graph(20)
    scales = g.const("scales", np.linspace(0.01, 0.04, 4, dtype=np.float32))
    zeros = g.const("zeros", np.zeros(4, np.int8))
    y = g.op("QuantizeLinear", g.input("x", [2, 4, 8]), scales, zeros, axis=1)
    g.output(g.op("DequantizeLinear", y, scales, zeros, axis=1))
    _, _, left = replaced(g, tmp_path, tmp_path / "floats")
    assert len(left) == 1
