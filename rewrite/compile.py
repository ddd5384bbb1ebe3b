"""A compilation from end to end: capture, passes, lowering, checks, one file."""

from __future__ import annotations

import contextlib
import random
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import rewrite
from rewrite import equivalence
from rewrite.artifact import build_artifact, place, write_pt2
from rewrite.calibration_data import choose_calibration
from rewrite.capture import capture, split_inputs
from rewrite.descriptors import Model, PassObserver
from rewrite.destination import check_output, make_scratch
from rewrite.device import check_device
from rewrite.eager_check import check_deterministic
from rewrite.errors import UsageError
from rewrite.fixed_sizes import FixedSizes, OtherSize, check_static, fix_sizes
from rewrite.model_file import guard_model, load_model_file, make_model
from rewrite.options import build
from rewrite.pass_spec import PassSpec, parse_passes
from rewrite.passes import Context, Pass
from rewrite.pipeline import order_passes, run_passes
from rewrite.plugin_host import PluginHost
from rewrite.program import Program
from rewrite.quantization.batches import check_batch
from rewrite.request import DEFAULT_PRESET, DEFAULT_TARGET, Checks, Request, Result, peak_rss_mb
from rewrite.steering import choose_opset, faults_of, steer_specs, tell_types
from rewrite.talk import Talk
from rewrite.target import Target

__all__ = [
    "DEFAULT_PRESET",
    "DEFAULT_TARGET",
    "Checks",
    "Request",
    "Result",
    "check_batches",
    "choose_passes",
    "compile_model",
    "find_model",
    "legalize",
    "peak_rss_mb",
    "rewrite_model",
]

_BATCHES_COMPARED = 4
"""Calibration batches that a file is run on beside the example inputs."""


@dataclass
class _Job:
    """One compilation while it runs."""

    request: Request
    host: PluginHost
    talk: Talk
    description: Model
    target: Target
    context: Context
    result: Result
    eager: nn.Module
    fixed: FixedSizes

    @property
    def checked(self) -> bool:
        return self.request.checks != "off"

    @property
    def program(self) -> Program:
        assert self.result.program is not None
        return self.result.program


def find_model(host: PluginHost, text: str) -> Model:
    """Return the description of `zoo:NAME`, `path/model.py` or `path/model.py:factory`."""
    if text.startswith("zoo:"):
        return guard_model(host.find_model(text.removeprefix("zoo:")))
    return guard_model(load_model_file(text))


def choose_passes(host: PluginHost, request: Request) -> list[Pass]:
    """Build the passes of a request: a list given by hand keeps its order, a preset is ordered.

    A preset gets those that the target prepares with, where they come before one of its own.
    """
    if request.passes is not None and request.preset:
        raise UsageError("give --passes or --preset, not both")
    if request.passes is not None:
        return _build(host, request.passes)
    preset = host.find_preset(request.preset or DEFAULT_PRESET)
    passes = [host.find_pass(name) for name in preset.passes]
    for name in host.find_target(request.target).prepare:
        found = host.find_pass(name)
        if name not in preset.passes and set(found.before) & set(preset.passes):
            passes.append(found)
    return [p() for p in order_passes(passes)]


def rewrite_model(
    request: Request,
    host: PluginHost,
    talk: Talk | None = None,
    observers: Sequence[PassObserver] = (),
) -> Result:
    """Capture a model and run the passes; neither evaluates nor writes anything.

    Args:
        request: its output is not looked at.
        host: gives the passes, the target and observers.
        talk: told of every stage.
        observers: more of them.

    Raises:
        RewriteError: with what, where and a hint.
    """
    started = time.perf_counter()
    with _threads(request.threads):
        result = _rewrite(request, host, talk or Talk(), observers).result
    result.seconds = time.perf_counter() - started
    return result


def compile_model(request: Request, host: PluginHost, talk: Talk | None = None) -> Result:
    """Compile a model and write the artifact if every check holds.

    Raises:
        RewriteError: with what, where and a hint; nothing has been written then.
    """
    started = time.perf_counter()
    check_output(request)
    with _threads(request.threads):
        job = _rewrite(request, host, talk or Talk())
        _evaluate(job, "eager", job.eager)
        _evaluate(job, "program", job.fixed.runner(job.program))
        if request.output is not None:
            _write(job, request.output)
    job.result.seconds = time.perf_counter() - started
    return job.result


def legalize(
    program: Program, target: Target, host: PluginHost, context: Context, *, checked: bool
) -> Program:
    """Bring a program into the layout that a target's kernels want."""
    specs = [spec for text in target.legalize for spec in parse_passes(text)]
    passes = _build(host, specs)
    done = run_passes(program, passes, context, origin=host.pass_origin, checked=checked)
    return done.program


def check_batches(
    description: Model, program: Program, limit: int = _BATCHES_COMPARED
) -> list[equivalence.Inputs]:
    """Return the example inputs and the first calibration batches, to compare runtimes on."""
    inputs = [program.example]
    if description.calibration is not None:
        for number, batch in enumerate(description.calibration(), start=1):
            args, kwargs = split_inputs(batch)
            check_batch(program, args, kwargs, f"calibration batch {number}")
            inputs.append((args, kwargs))
            if number == limit:
                break
    return inputs


def _build(host: PluginHost, specs: Sequence[PassSpec]) -> list[Pass]:
    return [build(host.find_pass(s.name), s.name, dict(s.options)) for s in specs]


def _rewrite(
    request: Request, host: PluginHost, talk: Talk, observers: Sequence[PassObserver] = ()
) -> _Job:
    """Do everything up to the rewritten program; cheap mistakes are found first."""
    passes = choose_passes(host, request)
    target = host.find_target(request.target)
    faults = faults_of(target, host.faults())
    target = steer_specs(target, faults, talk)
    check_device(request.device)
    result = Result(request.model, request.target, passes=passes, seed=request.seed)
    result.opset = choose_opset(request.opset, target, faults, talk)
    description = find_model(host, request.model)
    _seed(request.seed)
    talk.step(f"capture {description.name}")
    eager = make_model(description)
    fixed = fix_sizes(description, eager, request.fix, static=request.static)
    description, result.fixed = fixed.described(description), dict(fixed.sizes)
    result.captured = capture(eager, description.inputs(), description.dynamic_shapes)
    check_static(result.captured, target, request)
    check_deterministic(result.captured)
    description, identity = choose_calibration(
        request, description, result.captured, lambda name: find_model(host, name)
    )
    description = result.description = fixed.calibrated(description)
    context = Context(
        target=target,
        calibration=description.calibration,
        calibration_identity=identity,
        calibration_cache=request.calibration_cache,
        device=request.device,
        seed=request.seed,
        progress=talk.progress,
        calibrators=dict(host.calibrators()),
    )
    done = run_passes(
        result.captured,
        passes,
        context,
        observers=[*host.observers(), *observers],
        origin=host.pass_origin,
        checked=request.checks != "off",
        on_report=talk.passed,
    )
    result.program, result.reports = done.program, done.reports
    tell_types(done.program, target, host.faults(), talk)
    return _Job(request, host, talk, description, target, context, result, eager, fixed)


def _write(job: _Job, output: Path) -> None:
    """Make the file in a scratch folder beside its place, and move it there when it holds."""
    scratch = make_scratch(output)
    try:
        if output.suffix == ".pt2":
            _write_pt2(job, scratch / output.name)
        else:
            _write_onnx(job, scratch / output.name)
        assert job.result.artifact is not None
        place(job.result.artifact, output)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write_pt2(job: _Job, path: Path) -> None:
    job.talk.step("write the program for PyTorch")
    strict = job.request.checks == "strict"
    inputs = check_batches(job.description, job.program)
    job.result.artifact, run = write_pt2(job.program, path, inputs, strict=strict)
    _evaluate(job, "deployed", job.fixed.runner(run))


def _write_onnx(job: _Job, path: Path) -> None:
    result = job.result
    job.talk.step(f"lower to ONNX opset {result.opset}")
    lowered = legalize(job.program, job.target, job.host, job.context, checked=job.checked)
    artifact = result.artifact = build_artifact(
        lowered,
        path,
        request=job.request,
        opset=result.opset,
        target=job.target,
        lowerings=job.host.lowerings(),
        inputs=check_batches(job.description, job.program),
        metadata=_metadata(job),
        talk=job.talk,
    )
    if artifact.loaded is not None:
        _evaluate(job, "deployed", job.fixed.runner(artifact.runner(job.program)))
    artifact.record("metrics", result.metrics)
    if job.request.latency and artifact.loaded is not None:
        _latency(job, path.parent / "float.onnx")


def _latency(job: _Job, path: Path) -> None:
    """Time the file beside a float file of the same model, alternating between the two."""
    result, host = job.result, job.host
    assert result.artifact is not None and result.captured is not None
    job.talk.step("lower the float program and time both files")
    passes = choose_passes(host, Request(result.model, preset=DEFAULT_PRESET))
    program = run_passes(result.captured, passes, job.context, checked=False).program
    program = legalize(program, job.target, host, job.context, checked=False)
    result.artifact.time_against(program, path, result.opset, host.lowerings(), job.request.threads)


def _evaluate(job: _Job, name: str, run: Any) -> None:
    if job.description.evaluate is None or not job.request.evaluate:
        return
    job.talk.step(f"evaluate {name}")
    try:
        with torch.no_grad():
            job.result.metrics[name] = job.description.evaluate(run)
    except OtherSize as error:
        job.talk.warn(f"the {name} was not evaluated: {error.what}")


def _metadata(job: _Job) -> dict[str, Any]:
    return {
        "version": rewrite.__version__,
        "torch": torch.__version__,
        "model": job.request.model,
        "target": job.request.target,
        "seed": job.request.seed,
        "fixed": job.result.fixed,
        "ledger": job.program.ledger,
    }


def _seed(seed: int) -> None:
    """Seed whatever the model file may draw its weights and batches from."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
