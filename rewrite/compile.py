"""A compilation from end to end: capture, passes, lowering, checks, one file."""

from __future__ import annotations

import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

import rewrite
from rewrite import equivalence
from rewrite.artifact import Artifact, build_artifact, place, write_pt2
from rewrite.capture import capture
from rewrite.descriptors import Model
from rewrite.errors import UsageError
from rewrite.model_file import load_model_file, make_model
from rewrite.options import build
from rewrite.pass_spec import PassSpec
from rewrite.passes import Context, Pass
from rewrite.pipeline import PassReport, order_passes, run_passes
from rewrite.plugin_host import PluginHost
from rewrite.program import Program
from rewrite.talk import Talk
from rewrite.target import Target

DEFAULT_TARGET = "portable"
DEFAULT_PRESET = "float"
Checks = Literal["strict", "report", "off"]


@dataclass(frozen=True)
class Request:
    """What to compile, and how."""

    model: str
    passes: tuple[PassSpec, ...] = ()
    preset: str | None = None
    target: str = DEFAULT_TARGET
    output: Path | None = None
    """`.onnx` or `.pt2`; None compiles without writing anything."""
    opset: int | None = None
    seed: int = 0
    device: str = "cpu"
    threads: int = 0
    checks: Checks = "strict"
    require_int8: float | None = None
    """Smallest share of eligible nodes, in %, that must run in int8."""
    evaluate: bool = True
    latency: bool = False
    """Also lower the float program and time both files."""


@dataclass
class Result:
    """Everything a compilation found out."""

    model: str
    target: str
    reports: list[PassReport] = field(default_factory=list)
    passes: list[Pass] = field(default_factory=list)
    captured: Program | None = None
    program: Program | None = None
    artifact: Artifact | None = None
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    seconds: float = 0.0
    opset: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        artifact = self.artifact
        metrics = {k: self.metrics.get(k, {}) for k in ("eager", "program", "deployed")}
        return {
            "model": self.model,
            "target": self.target,
            "passes": [r.as_json() for r in self.reports],
            "artifact": artifact.describe() if artifact else None,
            "metrics": metrics,
            "agreement": artifact.agreement_json() if artifact else None,
            "int8": artifact.int8_json() if artifact else None,
            "runtimes": artifact.runtimes_json() if artifact else {},
            "latency_ms": artifact.latency if artifact else {"float": None, "deployed": None},
            "seconds": round(self.seconds, 3),
            "peak_rss_mb": round(peak_rss_mb(), 1),
        }


def find_model(host: PluginHost, text: str) -> Model:
    """Return the description of `zoo:NAME`, `path/model.py` or `path/model.py:factory`."""
    if text.startswith("zoo:"):
        return host.find_model(text.removeprefix("zoo:"))
    return load_model_file(text)


def choose_passes(host: PluginHost, request: Request) -> list[Pass]:
    """Build the passes of a request: a list given by hand keeps its order, a preset is ordered."""
    if request.passes and request.preset:
        raise UsageError("give --passes or --preset, not both")
    if request.passes:
        return [build(host.find_pass(s.name), s.name, dict(s.options)) for s in request.passes]
    preset = host.find_preset(request.preset or DEFAULT_PRESET)
    return [p() for p in order_passes([host.find_pass(name) for name in preset.passes])]


def make_context(host: PluginHost, description: Model, request: Request, talk: Talk) -> Context:
    """Return what passes may use for this model and target."""
    return Context(
        target=host.find_target(request.target),
        calibration=description.calibration,
        device=request.device,
        seed=request.seed,
        progress=talk.progress,
        calibrators=dict(host.calibrators()),
    )


def compile_model(request: Request, host: PluginHost, talk: Talk | None = None) -> Result:
    """Compile a model and write the artifact if every check holds.

    Raises:
        RewriteError: with what, where and a hint; nothing has been written then.
    """
    talk = talk or Talk()
    started = time.perf_counter()
    torch.manual_seed(request.seed)
    description = find_model(host, request.model)
    passes = choose_passes(host, request)
    context = make_context(host, description, request, talk)
    assert context.target is not None
    opset = _opset(request, context.target)
    _check_output(request.output)
    result = Result(request.model, request.target, passes=passes, opset=opset)
    talk.step(f"capture {description.name}")
    eager = make_model(description)
    program = capture(eager, description.inputs(), description.dynamic_shapes)
    result.captured = program
    done = run_passes(
        program,
        passes,
        context,
        observers=host.observers(),
        origin=host.pass_origin,
        checked=request.checks != "off",
        on_report=talk.passed,
    )
    result.program, result.reports = done.program, done.reports
    _evaluate(result, description, {"eager": eager, "program": result.program}, request, talk)
    if request.output is not None:
        _write(request.output, request, host, description, context, result, talk)
    result.seconds = time.perf_counter() - started
    return result


def legalize(
    program: Program, target: Target, host: PluginHost, context: Context, *, checked: bool
) -> Program:
    """Bring a program into the layout that a target's kernels want."""
    from rewrite.pass_spec import parse_passes

    specs = [spec for text in target.legalize for spec in parse_passes(text)]
    passes = [build(host.find_pass(s.name), s.name, dict(s.options)) for s in specs]
    return run_passes(
        program, passes, context, origin=host.pass_origin, checked=checked
    ).program


def check_batches(description: Model, program: Program, limit: int = 4) -> list[equivalence.Inputs]:
    """Return the example inputs and the first calibration batches, to compare runtimes on."""
    from rewrite.capture import split_inputs

    inputs = [program.example]
    if description.calibration is not None:
        for number, batch in enumerate(description.calibration()):
            if number >= limit:
                break
            inputs.append(split_inputs(batch))
    return inputs


def peak_rss_mb() -> float:
    """Return the largest resident memory of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024) if sys.platform == "darwin" else peak / 1024


def _opset(request: Request, target: Target) -> int:
    opset = request.opset or target.opset
    low, high = target.opset_range
    if not low <= opset <= high:
        raise UsageError(
            f"opset {opset} does not suit target '{target.name}'", hint=f"use {low} to {high}"
        )
    return opset


def _check_output(output: Path | None) -> None:
    if output is None:
        return
    if output.suffix not in (".onnx", ".pt2"):
        raise UsageError(
            f"the output '{output}' ends in neither .onnx nor .pt2",
            hint=f"-o {output.with_suffix('.onnx')}",
        )
    if output.is_dir():
        raise UsageError(f"cannot write '{output}': it is a folder", hint="name a file in it")
    folder = output.resolve().parent
    if not folder.is_dir():
        raise UsageError(f"cannot write '{output}': there is no folder '{folder}'", hint=f"mkdir -p {folder}")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"cannot write '{output}': {error.strerror}", hint="choose another place") from None


def _write(
    output: Path,
    request: Request,
    host: PluginHost,
    description: Model,
    context: Context,
    result: Result,
    talk: Talk,
) -> None:
    assert result.program is not None and context.target is not None
    scratch = Path(tempfile.mkdtemp(prefix=".rewrite-", dir=output.resolve().parent))
    try:
        if output.suffix == ".pt2":
            talk.step("write the program for PyTorch")
            result.artifact = write_pt2(result.program, scratch / output.name)
        else:
            talk.step(f"lower to ONNX opset {result.opset}")
            checked = request.checks != "off"
            lowered = legalize(result.program, context.target, host, context, checked=checked)
            result.artifact = build_artifact(
                lowered,
                scratch / output.name,
                request=request,
                opset=result.opset,
                target=context.target,
                lowerings=host.lowerings(),
                inputs=check_batches(description, result.program),
                metadata=_metadata(result, request),
                talk=talk,
            )
            deployed = result.artifact.runner(result.program)
            _evaluate(result, description, {"deployed": deployed}, request, talk)
            if request.latency and result.captured is not None:
                _latency(result, request, host, context, scratch, talk)
        place(result.artifact, output)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _latency(
    result: Result, request: Request, host: PluginHost, context: Context, scratch: Path, talk: Talk
) -> None:
    """Time the file beside a float file of the same model, alternating between the two."""
    assert result.artifact is not None and result.captured is not None
    assert context.target is not None
    talk.step("lower the float program and time both files")
    names = host.find_preset(DEFAULT_PRESET).passes
    passes = [p() for p in order_passes([host.find_pass(name) for name in names])]
    program = run_passes(result.captured, passes, context, checked=False).program
    program = legalize(program, context.target, host, context, checked=False)
    result.artifact.time_against(
        program, scratch / "float.onnx", result.opset, host.lowerings(), request.threads
    )


def _evaluate(
    result: Result, description: Model, runs: dict[str, Any], request: Request, talk: Talk
) -> None:
    if description.evaluate is None or not request.evaluate:
        return
    for name, run in runs.items():
        talk.step(f"evaluate {name}")
        with torch.no_grad():
            values = description.evaluate(run)
        result.metrics[name] = {key: float(value) for key, value in values.items()}


def _metadata(result: Result, request: Request) -> dict[str, Any]:
    assert result.program is not None
    return {
        "version": rewrite.__version__,
        "torch": torch.__version__,
        "model": request.model,
        "target": request.target,
        "seed": request.seed,
        "ledger": result.program.ledger,
        "metrics": result.metrics,
    }


def pass_lines(passes: Sequence[Pass]) -> str:
    """Return the passes as `--passes` takes them."""
    return ",".join(p.name for p in passes)
