"""Good files of every kind that the command line reads, for others to be damaged from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from rewrite import file_parts
from tests.cli.conftest import call

MODEL = """\
import torch
from torch import nn


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).eval()


def inputs():
    return (torch.ones(2, 4),)


dynamic_shapes = ({0: torch.export.Dim("batch")},)


def calibration():
    torch.manual_seed(1)
    for _ in range(3):
        yield (torch.randn(2, 4),)
"""
IMAGES_MODEL = """\
import torch
from torch import nn


def model():
    torch.manual_seed(0)
    return nn.Conv2d(3, 4, 3).eval()


def inputs():
    return (torch.ones(2, 3, 8, 8),)
"""
PLUGIN = """\
from pathlib import Path

from rewrite import Target, hookimpl
from rewrite.faults import parse_faults


@hookimpl
def rewrite_targets():
    yield Target.load(Path({target!r}))
"""
FAULTS = """\
from pathlib import Path

from rewrite import hookimpl
from rewrite.faults import parse_faults


@hookimpl
def rewrite_faults():
    yield from parse_faults(Path({target!r}).read_text(encoding="utf-8"), {target!r})
"""
PASSES = "insert-quantizers,calibrate"


@dataclass(frozen=True)
class Good:
    """A folder of files that nothing is wrong with."""

    folder: Path

    @property
    def model(self) -> Path:
        return self.folder / "model.py"

    def __getitem__(self, name: str) -> Path:
        return self.folder / name


def make_good(folder: Path) -> Good:
    """Write the model file, and everything that the command line makes of it."""
    good = Good(folder)
    good.model.write_text(MODEL)
    good["images.py"].write_text(IMAGES_MODEL)
    _compile(good, "model.onnx", "--preset", "int8", "--write-recipe", good["recipe.toml"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_parts, "_ONE_FILE_BYTES", 0)
        patch.setattr("onnx_ir.save", _every_weight_beside)
        _compile(good, "two.onnx")
    _compile(good, "model.pt2", "--passes", PASSES, "--calibration-cache", good["cache"])
    rows = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    np.savez(good["data.npz"], input=rows)
    np.save(good["rows.npy"], rows[0])
    return good


def _compile(good: Good, name: str, *arguments: object) -> None:
    called = call(good.model, "-o", good[name], "--target", "ort-x64", *arguments)
    assert called.code == 0, called.err


def _every_weight_beside(model: object, path: object, external_data: str | None = None) -> None:
    import onnx_ir

    onnx_ir._io.save(model, path, external_data=external_data, size_threshold_bytes=0)
