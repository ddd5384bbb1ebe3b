"""Processors without VNNI saturate int8 sums: files are checked exactly, and it is said."""

from __future__ import annotations

import numpy as np
import pytest

from rewrite.runtimes import get_runtime, processor

from .graphs import Graph

CPU = "processor\t: 0\nflags\t\t: fpu sse2 avx2{more}\nbugs\t\t:\n"


@pytest.fixture
def cpu(tmp_path, monkeypatch):
    """Return a function that sets the flags of the processor."""

    def set_flags(more, machine="x86_64"):
        path = tmp_path / "cpuinfo"
        path.write_text(CPU.format(more=more))
        monkeypatch.setattr(processor, "_CPU_INFO", path)
        monkeypatch.setattr(processor.platform, "machine", lambda: machine)
        processor.saturates.cache_clear()
        return processor.saturates()

    yield set_flags
    processor.saturates.cache_clear()


@pytest.mark.parametrize("flag", ["avx512_vnni", "avx_vnni", "amx_int8"])
def test_wide_sums_do_not_saturate(cpu, flag):
    assert not cpu(f" {flag}")


def test_without_them_they_do(cpu):
    assert cpu("")
    assert not cpu("", machine="aarch64")


def large_products(path):
    """Write a product of rows at 255 with a weight at 127: two of them exceed 16 bits."""
    graph = Graph()
    rows = graph.qdq(graph.input("x", ["N", 64]), scale=1.0, zero_point=0)
    weight = graph.const("w", np.full((64, 8), 127, np.int8))
    scale, zero = graph.const("s", np.float32(0.01)), graph.const("z", np.int8(0))
    product = graph.op("MatMul", rows, graph.op("DequantizeLinear", weight, scale, zero))
    graph.outputs.append(graph.qdq(product, scale=100.0, zero_point=0))
    graph.save(path)
    return {"x": np.full((2, 64), 255, np.float32)}


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_file_is_checked_exactly_wherever_it_is(name, tmp_path):
    runtime = get_runtime(name)
    if not runtime.available():
        pytest.skip(f"{name} is not installed")
    given = large_products(tmp_path / "m.onnx")
    loaded = runtime.load(tmp_path / "m.onnx", 1)
    (result,) = loaded.run(given).values()
    assert np.all(result == np.round(255 * 127 * 0.01 * 64 / 100) * 100)
    caveat = loaded.caveat(given)
    if processor.saturates():
        assert "no VNNI" in caveat and "agrees to" in caveat
    else:
        assert caveat == ""


def test_what_agrees_has_no_caveat():
    same = {"y": np.array([1.0, np.nan])}
    assert not processor.differ(same, same)
    assert processor.differ(same, {"y": np.array([1.1, np.nan])})
    assert processor.least_db({"y": np.array([10.0])}, {"y": np.array([9.0])}) == pytest.approx(20)
