"""`rewrite compare-runtimes`: another version in another process, and what it changes."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from runtimes.graphs import Graph, conv_residual_block
from runtimes.pythons import another

from rewrite.duel import Duel
from rewrite.runtimes import KernelVerdict
from rewrite.two_versions import OnTwoVersions, OnVersion, ratios

from .conftest import call

WITHOUT_INT8 = "options.add_session_config_entry('session.disable_quant_qdq', '1')"


@pytest.fixture
def block(tmp_path):
    return conv_residual_block().save(tmp_path / "block.onnx")


def test_the_same_version_changes_nothing(block):
    called = call("compare-runtimes", block, "--python", sys.executable, "--threads", 1)
    assert called.code == 0, called.err
    head, _, name, kernels, outputs, time = called.out.splitlines()
    assert head.startswith("onnxruntime ") and head.endswith(sys.executable)
    assert name == str(block)
    assert kernels.split(maxsplit=1)[1] == "3 of 3 layers run in int8, all by the same kernels"
    assert outputs.split() == ["outputs", "exact"]
    assert " of the time here (" in time and " turns), " in time
    assert "both are onnxruntime" in called.err


def test_a_version_without_int8_kernels(block, tmp_path):
    python = another(tmp_path, on_load=WITHOUT_INT8, version="9.9")
    called = call("compare-runtimes", block, "--python", python, "--threads", 1, "--seed", 3)
    assert called.code == 0, called.err
    assert f"here, 9.9 of {python}\n" in called.out
    assert "3 of 3, then 0 layers run in int8; 3 changed kernel" in called.out
    assert "c1: QLinearConv → FusedConv" in called.out or "c1: QLinearConv → Conv" in called.out
    assert "in the whole graph: " in called.out and "QLinearConv 2 → 0" in called.out
    assert " dB" in called.out and "exact" not in called.out


def test_json_has_all_of_it(block, tmp_path):
    python = another(tmp_path, on_load=WITHOUT_INT8, version="9.9")
    found = call("compare-runtimes", block, "--python", python, "--threads", 1, "--json").json
    assert (found["ok"], found["runtime"], found["versions"][1]) == (True, "onnxruntime", "9.9")
    (file,) = found["files"]
    assert [file[side]["int8"]["in_int8"] for side in ("before", "after")] == [3, 0]
    assert [each["node"] for each in file["changed"]] == ["c1", "c2", "fc"]
    assert file["changed"][0]["in_int8"] == [True, False]
    assert file["before"]["kernels"]["QGemm"] == 1
    assert file["outputs"]["sqnr_db"] > 20
    low, high = file["time"]["spread"]
    assert low <= file["time"]["ratio"] <= high
    assert len(file["time"]["before_ms"]) == len(file["time"]["after_ms"])


@pytest.mark.parametrize(
    ("on_load", "said"),
    [
        ("raise ValueError('no such operator')", "cannot load the model: no such operator"),
        ("os.kill(os.getpid(), 11)", "ended in 'load', by signal 11"),
    ],
    ids=["refused", "crashed"],
)
def test_a_file_that_one_version_does_not_run_is_a_result(on_load, said, block, tmp_path):
    good = Graph()
    good.output(good.op("Tanh", good.input("x", ["N", 4])))
    other = good.save(tmp_path / "tanh.onnx")
    python = another(tmp_path, on_load=f"if 'block' in path: {on_load}", version="9.9")
    called = call("compare-runtimes", block, other, "--python", python)
    assert called.code == 1
    assert called.error[0] == "error: onnxruntime 9.9 does not run the file"
    assert called.error[1] == f"  at: {block}"
    first, second = called.out.split(str(other))
    assert "fails    9.9: " in first and said in first and "of the time here" not in first
    assert "0 of 0 layers run in int8" in second and "exact" in second
    found = call("compare-runtimes", block, "--python", python, "--json").json
    assert found["ok"] is False and found["error"]["exit_code"] == 1
    assert said in found["files"][0]["after"]["problem"] and found["files"][0]["time"] is None


@pytest.mark.parametrize(
    ("options", "what", "hint"),
    [
        (["--python", "/nowhere/python"], "there is no Python '/nowhere/python'", "make test-onn"),
        (["--python", "/"], "'/' is a folder", "give the path of its Python"),
        (["--python", sys.executable, "--runtime", "openvin"], "unknown runtime", "'openvino'"),
        (["--python", sys.executable, "--sizes", "M=3"], "unknown dynamic dimension 'M'", "N"),
        (["--python", sys.executable, "--sizes", "N"], "'N' is not a size", "compare-runtimes"),
        ([], "missing option '--python'", "rewrite compare-runtimes --help"),
    ],
)
def test_wrong_usage(options, what, hint, block):
    called = call("compare-runtimes", block, *options)
    assert called.code == 2 and called.out == ""
    assert what in called.error[0] and hint in called.error[-1]


def test_a_folder_with_a_python_gets_its_path(block, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text("")
    called = call("compare-runtimes", block, "--python", tmp_path)
    assert called.code == 2
    assert called.error[-1] == f"  hint: --python {tmp_path / 'bin' / 'python'}"


def test_a_python_without_the_runtime(block, tmp_path):
    python = another(tmp_path, first="sys.modules['onnxruntime'] = None")
    called = call("compare-runtimes", block, "--python", python)
    assert called.code == 2
    assert called.error == [
        f"error: '{python}' has no module 'onnxruntime'",
        f"  hint: {python} -m pip install onnxruntime",
    ]


def test_what_is_no_file(tmp_path):
    called = call("compare-runtimes", tmp_path / "no.onnx", "--python", sys.executable)
    assert called.code == 2 and "there is no file" in called.error[0]


def verdict(node: str, kernel: str, fired: bool = True) -> KernelVerdict:
    return KernelVerdict(node, "MatMul", True, fired, kernel, "" if fired else "why", False, True)


def test_changes_of_kernels_are_found():
    before = OnVersion("1", "", [verdict("a", "QGemm"), verdict("b", "QGemm")], {"QGemm": 2})
    after = OnVersion(
        "2", "", [verdict("a", "QGemm"), verdict("b", "Gemm", False)], {"QGemm": 1, "Gemm": 1}
    )
    found = OnTwoVersions(None, before, after)
    assert [a.node for a, _ in found.changed()] == ["b"]
    assert found.recounted() == {"Gemm": (0, 1), "QGemm": (2, 1)}
    after.problem = "it crashed"
    assert not found.runs and found.recounted() == {}


def test_the_ratio_is_that_of_turns():
    """A machine that slows down meanwhile slows both."""
    loads = np.linspace(1, 3, 20)
    median, low, high = ratios(Duel(tuple(loads), tuple(1.5 * loads)))
    assert (median, low, high) == pytest.approx((1.5, 1.5, 1.5))
