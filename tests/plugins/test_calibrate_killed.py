"""A calibration that was killed goes on from its cache, to the same file bit by bit."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors import safe_open

PATIENCE = 120.0
"""Seconds to wait for a process on a busy machine."""
MODEL = """\
import pathlib
import time

import torch
from torch import nn

HERE = pathlib.Path(__file__).parent


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 4)).eval()


def inputs():
    return (torch.ones(2, 8),)


def calibration():
    torch.manual_seed(5)
    for number in range(8):
        if number == 5 and (HERE / "wait").exists():
            (HERE / "reached").touch()
            time.sleep(600)
        (HERE / "asked").open("a").write("x")
        yield (torch.randn(2, 8) * (number + 1),)
"""


def command(folder: Path, *more: str) -> list[str]:
    passes = "insert-quantizers,calibrate{method=auto}"
    start = [sys.executable, "-m", "rewrite.cli", str(folder / "model.py"), "--passes", passes]
    return [*start, "-o", str(folder / "out.pt2"), *more]


def test_killed_and_resumed(tmp_path):
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "wait").touch()
    path = tmp_path / "cache"
    process = subprocess.Popen(command(tmp_path, "--calibration-cache", str(path)))
    deadline = time.monotonic() + PATIENCE
    while not (tmp_path / "reached").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait(PATIENCE) == -signal.SIGKILL
    with safe_open(str(path), framework="pt") as file:
        assert '"complete": false' in file.metadata()["progress"]
    (tmp_path / "wait").unlink()
    resumed = finished(tmp_path, "--calibration-cache", str(path))
    whole = finished(tmp_path)
    assert resumed.keys() == whole.keys() and any("scale" in name for name in whole)
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def finished(folder: Path, *more: str) -> dict[str, torch.Tensor]:
    subprocess.run(command(folder, *more), check=True, capture_output=True, timeout=PATIENCE)
    return dict(torch.export.load(folder / "out.pt2").state_dict)
