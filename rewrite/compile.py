"""A compilation from end to end: capture, passes, lowering, checks, one file."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from rewrite.calibration_data import choose_calibration
from rewrite.capture import capture
from rewrite.descriptors import PassObserver
from rewrite.destination import check_output
from rewrite.device import check_device
from rewrite.eager_check import check_deterministic
from rewrite.errors import UsageError
from rewrite.file_needs import require_whole, with_opset_for
from rewrite.fingerprint import fingerprints
from rewrite.fixed_sizes import check_static, fix_sizes
from rewrite.job import Job, choose_passes, find_model, legalize
from rewrite.model_file import make_model
from rewrite.passes import Context, Pass
from rewrite.pipeline import run_passes
from rewrite.plugin_host import PluginHost
from rewrite.request import DEFAULT_PRESET, DEFAULT_TARGET, Checks, Request, Result, peak_rss_mb
from rewrite.steering import choose_opset, faults_of, steer_specs, tell_types
from rewrite.talk import Remembering, Talk
from rewrite.target import Target
from rewrite.widen import widen
from rewrite.write_out import evaluate, write

__all__ = [
    "DEFAULT_PRESET",
    "DEFAULT_TARGET",
    "Checks",
    "Request",
    "Result",
    "compile_model",
    "explain_model",
    "peak_rss_mb",
    "rewrite_model",
]


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


def explain_model(request: Request, host: PluginHost, talk: Talk | None = None) -> Result:
    """Run the passes and those that bring the program into the target's layout, unchecked.

    Raises:
        RewriteError: with what, where and a hint.
    """
    with _threads(request.threads):
        job = _rewrite(replace(request, checks="off"), host, talk or Talk())
        done = legalize(job.program, job.target, host, job.context, checked=False)
    job.result.legalizations = done.reports
    return job.result


def compile_model(
    request: Request, host: PluginHost, talk: Talk | None = None, recipe: Path | None = None
) -> Result:
    """Compile a model and write the artifact if every check holds.

    Args:
        request: what to compile, and how.
        host: gives the passes, the target and observers.
        talk: told of every stage.
        recipe: where to write the recipe that reproduces the artifact, beside it.

    Raises:
        RewriteError: with what, where and a hint; nothing has been written then.
    """
    started, home = time.perf_counter(), Path.cwd()
    check_output(request)
    with _threads(request.threads):
        job = _rewrite(request, host, talk or Talk())
        evaluate(job, "eager", job.eager)
        evaluate(job, "program", job.fixed.runner(job.program))
        if request.output is not None:
            write(job, _as_given(request.output, home), recipe and _as_given(recipe, home))
    job.result.seconds = time.perf_counter() - started
    return job.result


def _as_given(path: Path, home: Path) -> Path:
    """Return a path that means what it did in `home`, where a model has left that."""
    return path if Path.cwd() == home else home / path


def _rewrite(
    request: Request, host: PluginHost, talk: Talk, observers: Sequence[PassObserver] = ()
) -> Job:
    """Do everything up to the rewritten program; cheap mistakes are found first."""
    talk = Remembering(talk)
    passes = choose_passes(host, request)
    _require_use_of_cache(request, passes)
    target = host.find_target(request.target)
    if request.output is not None:
        require_whole(passes)
        target = with_opset_for(passes, target, request.opset)
    faults = faults_of(target, host.faults())
    target = steer_specs(target, faults, talk)
    check_device(request.device)
    result = Result(request.model, request.target, passes=passes, seed=request.seed)
    result.warnings = talk.warnings
    result.opset = choose_opset(request.opset, target, faults, talk)
    description = find_model(host, request.model)
    _seed(request.seed)
    talk.step(f"capture {description.name}")
    eager = make_model(description)
    description = widen(description, eager, talk)
    fixed = fix_sizes(description, eager, request.fix, static=request.static)
    description, result.fixed = fixed.described(description), dict(fixed.sizes)
    result.captured = capture(eager, description.inputs(), description.dynamic_shapes, talk)
    check_static(result.captured, target, request)
    check_deterministic(result.captured)
    weights = fingerprints(result.captured)[0] if request.checks != "off" else None
    description, identity = choose_calibration(
        request, description, result.captured, lambda name: find_model(host, name)
    )
    description = result.description = fixed.calibrated(description)
    context = replace(
        _context(request, host, talk, target),
        calibration=description.calibration,
        calibration_identity=identity,
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
    result.program, result.reports, result.loss = done.program, done.reports, done.loss
    for text in [*done.warnings, *(w for r in done.reports for w in r.outcome.warnings)]:
        talk.warn(text)
    unasked = None if request.opset else result.opset
    tell_types(done.program, target, host.faults(), talk, unasked)
    return Job(request, host, talk, description, target, context, result, eager, fixed, weights)


def _context(request: Request, host: PluginHost, talk: Talk, target: Target) -> Context:
    """Return what passes are told, but for the calibration data."""
    return Context(
        target=target,
        calibration_cache=request.calibration_cache,
        device=request.device,
        seed=request.seed,
        progress=talk.progress,
        calibrators=dict(host.calibrators()),
        origin=host.origin,
    )


def _require_use_of_cache(request: Request, passes: Sequence[Pass]) -> None:
    if request.calibration_cache is None or any(each.resumes for each in passes):
        return
    raise UsageError(
        "--calibration-cache: none of the passes calibrates, so there is nothing to keep",
        hint="leave it out, or ask for a pass that calibrates: --preset int8",
    )


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
