"""A runtime in a process of its own: what it answers, and how it is told when it does not."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from rewrite.runtimes import RuntimeFailure, get_runtime
from rewrite.runtimes.elsewhere import find
from rewrite.runtimes.worker import read_arrays, serve, write_arrays

from .graphs import Graph, conv_residual_block
from .pythons import another

HERE = Path(sys.executable)


@pytest.fixture
def block(tmp_path):
    graph = conv_residual_block()
    return graph.save(tmp_path / "m.onnx"), graph.feeds(N=2)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_it_is_the_runtime_that_is_here(name, block):
    runtime = get_runtime(name)
    if not runtime.available():
        pytest.skip(f"{name} is not installed")
    path, feeds = block
    found, here = find(HERE, name), runtime.load(path, threads=1)
    assert (found.name, found.version, found.available()) == (name, runtime.version, True)
    with found.loaded(path, threads=1) as loaded:
        assert loaded.kernels() == here.kernels()
        assert loaded.kinds() == here.kinds()
        assert loaded.caveat(feeds) == here.caveat(feeds)
        for run, wanted in ((loaded.run, here.run), (loaded.run_usual, here.run_usual)):
            for output, value in wanted(feeds).items():
                np.testing.assert_array_equal(run(feeds)[output], value)
        assert len(loaded.latency(feeds, repeats=3)) == 3


def test_other_feeds_are_sent_again(block):
    path, feeds = block
    with find(HERE, "onnxruntime").loaded(path, threads=1) as loaded:
        (first,), (again,) = (loaded.run(feeds).values() for _ in range(2))
        (other,) = loaded.run({name: -value for name, value in feeds.items()}).values()
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0


def test_a_failure_of_the_runtime_is_the_same_failure(block):
    path, feeds = block
    with pytest.raises(RuntimeFailure) as here:
        get_runtime("onnxruntime").load(path).run({"y": feeds["x"]})
    with find(HERE, "onnxruntime").loaded(path) as loaded:
        with pytest.raises(RuntimeFailure) as there:
            loaded.run({"y": feeds["x"]})
        assert (there.value.what, there.value.hint) == (here.value.what, here.value.hint)
        loaded.run(feeds)


def test_a_process_that_ends_is_told_with_its_last_words(block, tmp_path):
    path, _ = block
    crashing = another(tmp_path, on_load="sys.stderr.write('oh no\\n'); os.kill(os.getpid(), 11)")
    with (
        pytest.raises(RuntimeFailure, match=r"ended in 'load', by signal 11") as failure,
        find(crashing, "onnxruntime").loaded(path),
    ):
        pass
    assert failure.value.hint.startswith("oh no") or "Segmentation" in failure.value.hint


def test_it_reads_no_packages_of_this_one(tmp_path, monkeypatch):
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "onnxruntime.py").write_text("__version__ = 'shadow'\n")
    monkeypatch.setenv("PYTHONPATH", str(packages))
    assert find(HERE, "onnxruntime").version == "shadow"
    assert find(another(tmp_path), "onnxruntime").version != "shadow"


@pytest.mark.parametrize("module", ["onnxruntime", "numpy", "onnx_ir"])
def test_what_is_not_installed_is_named(module, tmp_path):
    lacking = another(tmp_path, first=f"sys.modules[{module!r}] = None")
    with pytest.raises(RuntimeFailure, match=f"has no module '{module}'") as failure:
        find(lacking, "onnxruntime")
    package = module.replace("_", "-")
    assert failure.value.hint == f"{lacking} -m pip install {package}"


def test_an_old_python_is_named(tmp_path):
    old = another(tmp_path, first="sys.version_info, sys.version = (3, 8), '3.8.20 (main)'")
    with pytest.raises(RuntimeFailure, match=r"is Python 3\.8\.20") as failure:
        find(old, "onnxruntime")
    assert failure.value.hint == "3.10 or newer is needed"


@pytest.mark.parametrize(
    ("script", "what"),
    [
        ("echo hello", "says 'hello': it is no Python"),
        ("exit 3", "ended when it started, with exit code 3"),
    ],
)
def test_other_programs_are_told(script, what, tmp_path):
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    with pytest.raises(RuntimeFailure, match=what):
        find(program, "onnxruntime")


def test_what_is_no_program_is_told(tmp_path):
    path = tmp_path / "text"
    path.write_text("text")
    with pytest.raises(RuntimeFailure, match=f"cannot start '{path}': Permission denied"):
        find(path, "onnxruntime")


def test_requests_are_answered_line_by_line(tmp_path):
    g = Graph()
    g.output(g.op("Tanh", g.input("x", ["N", 4])))
    path, feeds = g.save(tmp_path / "m.onnx"), g.feeds(N=2)
    write_arrays(str(tmp_path / "feeds.npz"), feeds)
    given = {"feeds": str(tmp_path / "feeds.npz"), "names": ["x"]}
    results = str(tmp_path / "results.npz")
    requests = [
        {"do": "kinds"},
        {"do": "load", "path": str(path), "threads": 1},
        {"do": "kinds"},
        {"do": "run", "results": results, **given},
    ]
    answers = io.StringIO()
    serve("onnxruntime", map(json.dumps, requests), answers)
    hello, early, loaded, kinds, ran = map(json.loads, answers.getvalue().splitlines())
    assert hello == {"version": get_runtime("onnxruntime").version}
    assert "a file is loaded first" in early["failure"]
    assert (loaded, kinds) == ({}, {"kinds": {"Tanh": 1}})
    found = read_arrays(results, ran["names"])["tanh_0_out"]
    np.testing.assert_allclose(found, np.tanh(feeds["x"]), rtol=1e-5, atol=1e-6)


def test_text_is_not_compared(tmp_path):
    with pytest.raises(RuntimeFailure, match="'y' holds text"):
        write_arrays(str(tmp_path / "a.npz"), {"y": np.array(["a"], object)})


def test_nothing_is_left_behind(block, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    with find(HERE, "onnxruntime").loaded(block[0], threads=1) as loaded:
        loaded.run(block[1])
        process = loaded.process.pipes
    assert process.poll() is not None
    assert not list((tmp_path / "scratch").iterdir())
