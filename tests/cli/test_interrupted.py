"""Stopped half-way: no partial file, and what was there before is untouched."""

import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rewrite.destination import make_scratch

from .conftest import call, linear_model, seen_files

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0
"""Seconds to wait for a process on a busy machine."""
WAITING = """\
calls = []


def evaluate(run):
    calls.append(run)
    if len(calls) == 3:  # the file is made, checked, and not yet in its place
        import pathlib, time
        pathlib.Path(__file__).with_name("reached").touch()
        time.sleep(600)
    return {}
"""
INTERRUPTED = """\
calls = []


def evaluate(run):
    calls.append(run)
    if len(calls) == 3:
        raise KeyboardInterrupt
    return {}
"""


def start(folder: Path) -> subprocess.Popen:
    """Start a compilation that stops right before its end, over a previous file."""
    out = folder / "out"
    out.mkdir(parents=True)
    (out / "model.onnx").write_bytes(b"previous")
    model = linear_model(folder, more=WAITING)
    command = [sys.executable, "-m", "rewrite.cli", model, "-o", out / "model.onnx"]
    return subprocess.Popen(
        [*command, "--target", "ort-x64"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Stop two compilations at once, one with SIGTERM and one with SIGKILL."""
    folders = {s: tmp_path_factory.mktemp(s.name) / "run" for s in (signal.SIGTERM, signal.SIGKILL)}
    processes = {s: start(folder) for s, folder in folders.items()}
    results = {}
    for number, process in processes.items():
        deadline = time.monotonic() + PATIENCE
        while not (folders[number] / "reached").exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
        results[number] = (folders[number] / "out", process.returncode, out, err)
    return results


def test_terminated_leaves_nothing_behind(stopped):
    folder, code, out, err = stopped[signal.SIGTERM]
    assert code == 143
    assert out == ""
    assert err.splitlines()[-1] == "terminated: nothing was written"
    assert (folder / "model.onnx").read_bytes() == b"previous"
    assert seen_files(folder) == ["model.onnx"]


def test_killed_leaves_the_previous_file(stopped):
    folder, code, _, _ = stopped[signal.SIGKILL]
    assert code == -signal.SIGKILL
    assert (folder / "model.onnx").read_bytes() == b"previous"
    assert [n for n in seen_files(folder) if not n.startswith(".rewrite-")] == ["model.onnx"]


def test_the_next_run_removes_what_a_killed_one_left(stopped, tmp_path):
    folder = stopped[signal.SIGKILL][0]
    shutil.copytree(folder, tmp_path / "out")
    assert any(n.startswith(".rewrite-") for n in seen_files(tmp_path / "out"))
    called = call(linear_model(tmp_path), "-o", tmp_path / "out" / "model.onnx")
    assert called.code == 0
    assert seen_files(tmp_path / "out") == ["model.onnx"]


def test_killed_at_random_moments():
    """Hundreds of them: python -m tests.cli.kill_sweep --kills 100."""
    command = [sys.executable, "-m", "tests.cli.kill_sweep", "--kills", "5"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("5 kills, nothing mixed, nothing left behind")


def test_scratch_of_a_run_that_goes_on_is_left_alone(tmp_path):
    mine = make_scratch(tmp_path / "model.onnx")
    assert make_scratch(tmp_path / "model.onnx") != mine
    assert mine.is_dir()


def test_scratch_of_another_machine_is_left_alone(tmp_path, monkeypatch):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    monkeypatch.setattr(os, "getpid", lambda: ended.pid)
    here = make_scratch(tmp_path / "model.onnx")
    monkeypatch.setattr(platform, "node", lambda: "elsewhere")
    there = make_scratch(tmp_path / "model.onnx")
    monkeypatch.undo()
    make_scratch(tmp_path / "model.onnx")
    assert there.is_dir() and not here.exists()


def test_interrupted_leaves_nothing_behind(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    model = linear_model(tmp_path, more=INTERRUPTED)
    called = call(model, "-o", out / "model.onnx", "--target", "ort-x64")
    assert called.code == 130
    assert called.err.splitlines()[-1] == "interrupted: nothing was written"
    assert seen_files(out) == []
