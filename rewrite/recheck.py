"""Checking a file that was written before: does it do the model's job, does it suit a target?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import fx
from torch.utils import _pytree as pytree

from rewrite.artifact import deployed_runner
from rewrite.capture import capture
from rewrite.checks.judge import Judge
from rewrite.checks.roundings import Roundings
from rewrite.checks.samples import Sample, take_samples
from rewrite.checks.ties import Ties
from rewrite.descriptors import Model
from rewrite.errors import CheckError, UsageError
from rewrite.file_metadata import read_metadata
from rewrite.fixed_sizes import OtherSize, fix_sizes
from rewrite.inputs import on_copies
from rewrite.kernel_counts import int8_summary
from rewrite.lint import Rule, Violation, broken_rules, lint, rules_of
from rewrite.lowering.lower import feeds
from rewrite.model_file import make_model
from rewrite.onnx_file import open_onnx
from rewrite.output_agreement import (
    LOWEST_FLOAT_SQNR,
    LOWEST_HALF_SQNR,
    LOWEST_LOSSY_SQNR,
    Agreement,
    Comparison,
)
from rewrite.program import Program
from rewrite.runtimes import LoadedModel, Runtime, RuntimeFailure, runtimes
from rewrite.talk import Talk
from rewrite.target import Target
from rewrite.widen import widen


@dataclass
class RuntimeCheck:
    """What one runtime makes of the file, against the eager model."""

    name: str
    version: str
    agreement: Agreement
    int8: dict[str, Any]
    metrics: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the runtime's entry in the command line's JSON."""
        return {
            "version": self.version,
            "agreement": self.agreement.as_json(),
            "int8": self.int8,
        }


@dataclass
class FileCheck:
    """Everything that checking a file found out."""

    path: Path
    quantized: bool
    floor: float
    metadata: dict[str, Any]
    runtimes: list[RuntimeCheck] = field(default_factory=list)
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def failure(self) -> CheckError | None:
        """Why the file does not pass, None if it does."""
        for each in self.runtimes:
            shortfall = each.agreement.shortfall(self.floor)
            if shortfall is not None:
                return CheckError(
                    f"on {each.name} the file agrees with the model {shortfall}",
                    where=str(self.path),
                    hint="is it the model that the file was made from? --min-sqnr sets the floor",
                )
        return None


@dataclass
class RuleCheck:
    """Where a file breaks the written rules of a target."""

    path: Path
    target: Target
    rules: list[Rule]
    violations: list[Violation]

    @property
    def failure(self) -> CheckError | None:
        """Why the file does not pass, None if it does."""
        if not self.violations:
            return None
        return broken_rules(self.path, self.target, self.violations)


def check_rules(path: Path, target: Target) -> RuleCheck:
    """Hold a file to the written rules of a target; nothing runs.

    Raises:
        UsageError: for a file that is missing or no ONNX, or a target without rules.
    """
    if not target.rules:
        raise UsageError(
            f"target '{target.name}' names no rules", where=target.source, hint="rewrite targets"
        )
    return RuleCheck(path, target, rules_of(target), lint(path, target))


def check_file(
    path: Path, description: Model, talk: Talk, *, floor: float | None = None, threads: int = 0
) -> FileCheck:
    """Run a file on every installed runtime beside the eager model.

    Args:
        path: an ONNX file.
        description: the model it was made from.
        talk: told of every stage.
        floor: smallest SQNR that passes, in dB; None chooses by the types in the file.
        threads: of the runtimes; 0 leaves the number to them.

    Raises:
        UsageError: for a file that is missing or no ONNX.
        CheckError: when no runtime can run it, or inputs and outputs are not the model's.
    """
    model = open_onnx(path)
    quantized, metadata = _is_quantized(model), read_metadata(model, path)
    result = FileCheck(path, quantized, _lowest(model) if floor is None else floor, metadata)
    talk.step(f"capture {description.name}")
    eager = make_model(description)
    description = widen(description, eager, talk)
    fixed = fix_sizes(description, eager, metadata.get("fixed", {}), static=False)
    description = fixed.calibrated(fixed.described(description))
    program = capture(eager, description.inputs(), description.dynamic_shapes)
    _check_names(path, program)
    samples, warnings = take_samples(description, program, eager)
    # What rounding costs at sizes that nothing was calibrated at says nothing of the file.
    samples = [sample for sample in samples if not (quantized and sample.is_resized)]
    for text in warnings:
        talk.warn(text)
    _evaluate(result, description, "eager", eager, talk)
    for runtime in runtimes():
        if not runtime.available():
            talk.warn(f"{runtime.name} is not installed: the file was not run on it")
            continue
        talk.step(f"run on {runtime.name} {runtime.version}")
        loaded = _load(runtime, path, threads)
        ways: list[Ties | Roundings] = [Ties(program)]
        if not quantized:
            ways.append(Roundings(program))
        result.runtimes.append(_compare(runtime, loaded, program, samples, ways))
        flat = program.signature.flatten_inputs(*program.example)
        caveat = loaded.caveat(feeds(program, flat, program.signature.input_names))
        if caveat:
            talk.warn(f"{runtime.name}: {caveat}")
        run = fixed.runner(deployed_runner(program, loaded))
        _evaluate(result, description, runtime.name, run, talk)
    return result


def read_file(path: Path) -> tuple[bool, dict[str, Any]]:
    """Return whether an ONNX file is quantized, and what was stored in it when it was written.

    Raises:
        UsageError: for a file that is missing or no ONNX.
    """
    model = open_onnx(path)
    return _is_quantized(model), read_metadata(model, path)


def _lowest(model: onnx.ModelProto) -> float:
    if _is_quantized(model):
        return LOWEST_LOSSY_SQNR
    half = any(t.data_type == onnx.TensorProto.FLOAT16 for t in model.graph.initializer)
    return LOWEST_HALF_SQNR if half else LOWEST_FLOAT_SQNR


def _is_quantized(model: onnx.ModelProto) -> bool:
    return any(n.op_type in ("QuantizeLinear", "DequantizeLinear") for n in model.graph.node)


def _check_names(path: Path, program: Program) -> None:
    graph = onnx.load(path, load_external_data=False).graph
    outputs = zip(program.signature.output_names, program.outputs(), strict=True)
    pairs = (
        ("inputs", {v.name for v in graph.input}, set(program.signature.input_names)),
        ("outputs", {v.name for v in graph.output}, {n for n, v in outputs if _is_written(v)}),
    )
    for what, found, expected in pairs:
        missing = found - expected if what == "inputs" else expected - found
        if missing:
            raise CheckError(
                f"the file's {what} are {', '.join(sorted(found))}; "
                f"the model's are {', '.join(sorted(expected))}",
                where=str(path),
                hint="give the model that the file was made from",
            )


def _is_written(output: Any) -> bool:
    """Tell whether the file has an output: constants that the model returns are not in it."""
    return isinstance(output, fx.Node)


def _load(runtime: Runtime, path: Path, threads: int) -> LoadedModel:
    try:
        return runtime.load(path, threads)
    except RuntimeFailure as error:
        raise CheckError(f"{runtime.name}: {error.what}", hint=error.hint or None) from error


def _compare(
    runtime: Runtime,
    loaded: LoadedModel,
    program: Program,
    samples: Sequence[Sample],
    ways: Sequence[Ties | Roundings],
) -> RuntimeCheck:
    run, comparison = deployed_runner(program, loaded), Comparison(Judge(program))
    for sample in samples:
        args, kwargs = sample.inputs
        try:
            actual = pytree.tree_leaves(run(*args, **kwargs))
        except RuntimeFailure as error:
            raise CheckError(f"{runtime.name}: {error.what}", hint=error.hint or None) from error
        outputs: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        names = program.signature.output_names
        for name, value, result in zip(names, sample.expected, actual, strict=True):
            if not isinstance(value, torch.Tensor):
                continue
            _same_shape(value, result, runtime.name)
            outputs[name] = (value, result)
        flat = program.signature.flatten_inputs(args, kwargs)
        settles = [partial(way.settle, sample.inputs) for way in ways]
        comparison.add(outputs, flat, sample.label, *settles)
    summary = int8_summary(loaded.kernels())
    return RuntimeCheck(runtime.name, runtime.version, comparison.agreement(), summary)


def _same_shape(value: torch.Tensor, result: torch.Tensor, runtime: str) -> None:
    if value.shape != result.shape:
        raise CheckError(
            f"an output has shape {tuple(result.shape)} on {runtime}, "
            f"{tuple(value.shape)} in the model",
            hint="give the model that the file was made from",
        )


def _evaluate(result: FileCheck, description: Model, name: str, run: Any, talk: Talk) -> None:
    if description.evaluate is not None:
        talk.step(f"evaluate {name}")
        try:
            with torch.no_grad():
                result.metrics[name] = description.evaluate(on_copies(run))
        except OtherSize as error:
            talk.warn(f"{name} was not evaluated: {error.what}")
