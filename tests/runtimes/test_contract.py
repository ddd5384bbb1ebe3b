from __future__ import annotations

import sys

import pytest

from rewrite.runtimes import RuntimeFailure, UnknownRuntime, get_runtime, runtimes
from rewrite.runtimes.timing import milliseconds


def test_every_runtime_goes_by_its_name():
    assert [r.name for r in runtimes()] == ["onnxruntime", "openvino"]
    assert all(get_runtime(r.name) == r for r in runtimes())
    assert all(bool(r.version) is r.available() for r in runtimes())


def test_unknown_name_gets_a_suggestion():
    with pytest.raises(UnknownRuntime, match="did you mean 'onnxruntime'") as error:
        get_runtime("onnx-runtime")
    assert isinstance(error.value, ValueError)
    with pytest.raises(ValueError, match="known: onnxruntime, openvino"):
        get_runtime("xyz")


def test_a_runtime_that_is_not_installed_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    runtime = get_runtime("openvino")
    assert not runtime.available() and runtime.version == ""
    with pytest.raises(RuntimeFailure, match=r"pip install 'rewrite-compiler\[openvino\]'"):
        runtime.load(tmp_path / "m.onnx")


def test_openvino_is_imported_only_to_load(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert get_runtime("openvino").name == "openvino"


def test_timing_needs_a_run():
    with pytest.raises(ValueError, match="repeats must be at least 1, not 0"):
        milliseconds(lambda: None, repeats=0)
