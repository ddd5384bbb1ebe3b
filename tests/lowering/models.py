"""Lowering a small model, and running the file beside the program."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import torch
from rewrite_plugins.calibrate import Calibrate
from rewrite_plugins.calibrators.min_max import MinMax
from rewrite_plugins.insert_quantizers import InsertQuantizers
from rewrite_plugins.lowerings import LOWERINGS
from torch import nn
from torch.utils import _pytree as pytree

from rewrite import Context, Program, capture
from rewrite.checks.judge import Judge
from rewrite.checks.samples import Sample
from rewrite.draws import Inputs
from rewrite.interpret import Interpreter
from rewrite.lowering.agreement import end_to_end, simulate
from rewrite.lowering.export import export_onnx
from rewrite.lowering.lower import Lowered, feeds, lower, save
from rewrite.output_agreement import Agreement
from rewrite.pipeline import run_passes
from rewrite.plugin_host import PluginHost
from rewrite.runtimes import LoadedModel, get_runtime
from rewrite.target import Target

OPSET = 20
TOLERANCE = 1e-5
"""Float32 kernels of two libraries on values near one."""


def agreement(program: Program, loaded: LoadedModel, inputs: list[Inputs]) -> Agreement:
    """Return how a loaded file agrees with its program."""
    samples = [
        Sample(f"inputs {place}", each, Interpreter(program).run_inputs(*each))
        for place, each in enumerate(inputs)
    ]
    names = program.signature.input_names
    return end_to_end(
        program, loaded, names, samples, simulate(program, samples), Judge(program)
    ).simulated


def quantized(
    module: nn.Module,
    x: torch.Tensor,
    *skipped: str,
    target: str | Target = "portable",
    dynamic: Any = None,
    bits: str | None = None,
) -> Program:
    """Capture a model, put the quantizers of a target in and calibrate them on its input."""
    passes = (InsertQuantizers(skip=skipped, bits=bits), Calibrate())
    found = PluginHost().find_target(target) if isinstance(target, str) else target
    context = Context(target=found, calibrators={"min-max": MinMax})
    return run_passes(capture(module.eval(), (x,), dynamic), passes, context, checked=False).program


def seven_bits(name: str) -> Target:
    """Return a target with weights that no processor sums to more than 16 bits hold."""
    text = f'name = "seven"\nextends = "{name}"\n[spec.weight]\nrange = [-64, 64]'
    return Target.parse(text).resolved(PluginHost().targets())


def lowered(
    program: Program, opset: int = OPSET, avoids: Collection[str] = (), **metadata: Any
) -> Lowered:
    """Lower a program with the built-in translations."""
    return lower(program, opset, {x.overload: x.translate for x in LOWERINGS}, metadata, avoids)


def written(result: Lowered, folder: Path) -> Path:
    """Write a model, check it as ONNX does, and return its path."""
    for name, value in result.model.graph.initializers.items():
        assert value.uses() or value.is_graph_output(), f"nothing reads {name}"
    path = folder / "model.onnx"
    save(result.model, path)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    return path


def run(path: Path, program: Program, *inputs: Any) -> dict[str, np.ndarray]:
    """Run a file on inputs of the program, the example if none are given."""
    args, kwargs = (inputs, {}) if inputs else program.example
    flat = program.signature.flatten_inputs(args, kwargs)
    wanted = [value.name for value in onnx.load(path, load_external_data=False).graph.input]
    return get_runtime("onnxruntime").load(path).run(feeds(program, flat, wanted))


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


class Call(nn.Module):
    """A function of one tensor as a module."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def translated_ops(
    x: torch.Tensor,
    function: Callable[[torch.Tensor], torch.Tensor],
    folder: Path,
    tolerance: float = TOLERANCE,
) -> set[str]:
    """Translate a function, hold the file to it in type and value, and return its operators."""
    translations = {entry.overload: entry.translate for entry in LOWERINGS}
    model = export_onnx(capture(Call(function).eval(), (x,)), OPSET, translations)
    ir.save(model, folder / "function.onnx")
    session = onnxruntime.InferenceSession(str(folder / "function.onnx"))
    name = session.get_inputs()[0].name
    result, expected = session.run(None, {name: x.numpy()})[0], function(x).numpy()
    assert result.dtype == expected.dtype
    np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance)
    return {node.op_type for node in model.graph}
