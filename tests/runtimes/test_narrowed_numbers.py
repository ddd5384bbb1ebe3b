"""OpenVINO computes numbers of 64 bits with 32: what needs more is told."""

from __future__ import annotations

import numpy as np
import pytest

from rewrite.runtimes import get_runtime

from .graphs import Graph

LARGE = 5_000_000_000


def told(graph: Graph, folder, feeds, runtime: str = "openvino") -> str:
    return get_runtime(runtime).load(graph.save(folder / "m.onnx"), 1).caveat(feeds)


def quotients() -> Graph:
    g = Graph(20)
    g.output(g.op("Div", g.input("t", ["N"], np.int64), g.const("second", np.int64(1000))))
    return g


def products(through: int) -> Graph:
    """x³ · 1e30, computed as `through`, an ONNX type."""
    g = Graph(20)
    wide = g.op("Cast", g.input("x", ["N"]), to=through)
    large = g.const("large", np.array(1e30, np.float64 if through == 11 else np.float32))
    product = g.op("Mul", g.op("Mul", wide, large), large)
    g.output(g.op("Cast", g.op("Div", product, large), to=1))
    return g


def test_float64_is_told(tmp_path):
    pytest.importorskip("openvino")
    x = np.ones(3, np.float32)
    assert "float64 is computed as float32" in told(products(11), tmp_path, {"x": x})
    assert told(products(1), tmp_path, {"x": x}) == ""
    assert told(products(11), tmp_path, {"x": x}, "onnxruntime") == ""


@pytest.mark.parametrize("number", [LARGE, -LARGE, 2**31])
def test_large_integers_are_told_by_their_input(number, tmp_path):
    pytest.importorskip("openvino")
    assert told(quotients(), tmp_path, {"t": np.array([7, number])}) == (
        "input 't' holds integers that 32 bits do not"
    )
    assert told(quotients(), tmp_path, {"t": np.array([7, 2**31 - 1, -(2**31)])}) == ""
    assert told(quotients(), tmp_path, {"t": np.array([number])}, "onnxruntime") == ""


def test_it_is_as_told(tmp_path):
    """Once OpenVINO has 64 bits, the words are to go."""
    pytest.importorskip("openvino")
    run = {
        name: get_runtime(name).load(graph.save(tmp_path / f"{name}.onnx"), 1)
        for name, graph in (("openvino", quotients()), ("onnxruntime", quotients()))
    }
    feeds = {"t": np.array([LARGE])}
    (right,), (made,) = (
        next(iter(run[name].run(feeds).values())) for name in ("onnxruntime", "openvino")
    )
    assert right == LARGE // 1000 != made
    path = products(11).save(tmp_path / "m.onnx")
    x = {"x": np.full(1, 1e5, np.float32)}
    results = [get_runtime(n).load(path, 1).run(x) for n in ("onnxruntime", "openvino")]
    right, made = (next(iter(each.values())) for each in results)
    assert np.isfinite(right).all() and not np.allclose(made, right, rtol=1e-3)
