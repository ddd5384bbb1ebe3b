"""A command line to call in this process, and small model files to give it."""

import contextlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rewrite.cli import main

TINY = """\
import torch
from torch import nn


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.bn = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        x = torch.relu(self.bn(self.conv(x)))
        return self.fc(x.mean((2, 3)))


def model():
    torch.manual_seed(0)
    return Tiny().eval()


def other():
    torch.manual_seed(1)
    return Tiny().eval()


def inputs():
    torch.manual_seed(2)
    return (torch.randn(2, 1, 8, 8),)


dynamic_shapes = ({0: torch.export.Dim("batch")},)


def calibration():
    torch.manual_seed(3)
    for _ in range(4):
        yield (torch.randn(2, 1, 8, 8),)


def evaluate(run):
    torch.manual_seed(4)
    return {"mean": run(torch.randn(4, 1, 8, 8)).mean()}
"""

LINEAR = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        {forward}


def model():
    torch.manual_seed(0)
    net = Net()
    {prepare}
    return net.eval()


def inputs():
    return (torch.ones(2, 4),)


{more}
"""


@dataclass(frozen=True)
class Called:
    """What one call of the command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> list[str]:
        """The lines of the error, without the talk before it."""
        lines = self.err.splitlines()
        return lines[next(i for i, line in enumerate(lines) if line.startswith("error:")) :]


def call(*arguments: Any) -> Called:
    """Call the command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main([str(a) for a in arguments])
    return Called(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def linear_model(folder: Path, **parts: str) -> Path:
    """Write a model file of one linear layer, with parts of it replaced."""
    given = {"forward": "return self.fc(x)", "prepare": "pass", "more": "", **parts}
    path = folder / "linear_model.py"
    path.write_text(LINEAR.format(**given))
    return path


def line_of(path: Path, text: str) -> str:
    """Return how an error names the line of a file that holds `text`."""
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if text in line:
            return f"{path}:{number}: {line.strip()}"
    raise AssertionError(text)


def seen_files(folder: Path) -> list[str]:
    """Return the names of all files in a folder, hidden ones too."""
    return sorted(p.name for p in folder.iterdir() if p.name != "__pycache__")


def compile_to(folder, *arguments):
    """Compile with OUT there before, and make sure that nothing was written."""
    out = folder / "out"
    out.mkdir()
    (out / "model.onnx").write_bytes(b"previous")
    called = call(*arguments, "-o", out / "model.onnx", "--target", "ort-x64")
    assert (out / "model.onnx").read_bytes() == b"previous"
    assert seen_files(out) == ["model.onnx"]
    assert called.out == ""
    assert "Traceback" not in called.err
    return called


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """A model file with a batch norm, calibration data and a metric."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.py"
    path.write_text(TINY)
    return path


@dataclass(frozen=True)
class Compiled:
    """One compilation and what it left behind."""

    called: Called
    file: Path
    recipe: Path


@pytest.fixture(scope="session")
def int8(tiny, tmp_path_factory) -> Compiled:
    """The tiny model, compiled to int8 with --json."""
    folder = tmp_path_factory.mktemp("int8")
    file, recipe = folder / "tiny.onnx", folder / "recipe.toml"
    called = call(
        tiny, "--preset", "int8", "-o", file, "--write-recipe", recipe, "--latency", "--json"
    )
    assert called.code == 0, called.err
    return Compiled(called, file, recipe)


@pytest.fixture(scope="session")
def floating(tiny, tmp_path_factory) -> Compiled:
    """The tiny model, compiled by a list of passes, told to people."""
    folder = tmp_path_factory.mktemp("float")
    file = folder / "tiny.onnx"
    passes = "fold-batch-norm,remove-dead-code"
    called = call(tiny, "--passes", passes, "-o", file, "--target", "ort-x64")
    assert called.code == 0, called.err
    return Compiled(called, file, folder / "none.toml")


@pytest.fixture(autouse=True)
def _colourless(monkeypatch):
    for name in ("FORCE_COLOR", "NO_COLOR", "CLICOLOR_FORCE"):
        if name in os.environ:
            monkeypatch.delenv(name)
