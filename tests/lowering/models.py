"""Lowering a small model, and running the file beside the program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from rewrite_plugins.lowerings import LOWERINGS
from torch.utils import _pytree as pytree

from rewrite import Program
from rewrite.lowering.lower import Lowered, feeds, lower, save

OPSET = 20
TOLERANCE = 1e-5
"""Float32 kernels of two libraries on values near one."""


def lowered(program: Program, opset: int = OPSET, **metadata: Any) -> Lowered:
    """Lower a program with the built-in translations."""
    return lower(program, opset, {x.overload: x.translate for x in LOWERINGS}, metadata)


def written(result: Lowered, folder: Path) -> Path:
    """Write a model, check it as ONNX does, and return its path."""
    path = folder / "model.onnx"
    save(result.model, path)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    return path


def run(path: Path, program: Program, *inputs: Any) -> dict[str, np.ndarray]:
    """Run a file on inputs of the program, the example if none are given."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    args, kwargs = (inputs, {}) if inputs else program.example
    flat = program.signature.flatten_inputs(args, kwargs)
    wanted = [value.name for value in session.get_inputs()]
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds(program, flat, wanted)), strict=True))


def assert_agrees(program: Program, folder: Path, opset: int = OPSET, *inputs: Any) -> Path:
    """Lower a program and hold the file to it: same names, dtypes, shapes and numbers."""
    path = written(lowered(program, opset), folder)
    actual = run(path, program, *inputs)
    args, kwargs = (inputs, {}) if inputs else program.example
    leaves = pytree.tree_leaves(program(*args, **kwargs))
    names = program.signature.output_names
    expected = {n: v for n, v in zip(names, leaves, strict=True) if isinstance(v, torch.Tensor)}
    assert list(actual) == list(expected)
    for name, value in expected.items():
        reference = value.detach().numpy()
        assert actual[name].dtype == reference.dtype, name
        assert actual[name].shape == reference.shape, name
        np.testing.assert_allclose(actual[name], reference, rtol=0, atol=TOLERANCE)
    return path
