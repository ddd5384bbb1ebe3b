"""The last stage of a compilation: lower the program, run the file, put it in its place."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import rewrite
from rewrite.artifact import build_artifact
from rewrite.busy import busy
from rewrite.checks.floors import hold_captured
from rewrite.checks.judge import Judge
from rewrite.checks.samples import Sample, take_samples
from rewrite.destination import make_scratch, replacing
from rewrite.errors import RewriteError, UsageError
from rewrite.file_parts import place
from rewrite.fixed_sizes import OtherSize
from rewrite.inputs import on_copies
from rewrite.job import Job, choose_passes, legalize
from rewrite.pipeline import run_passes
from rewrite.program import Program
from rewrite.pt2_file import write_pt2
from rewrite.recipe import write_recipe
from rewrite.request import DEFAULT_PRESET, Request


def write(job: Job, output: Path, recipe: Path | None = None) -> None:
    """Make the files in scratch folders beside their places, and move them there when all hold.

    Args:
        job: whose program is rewritten.
        output: where the file goes.
        recipe: where the recipe that reproduces it goes.

    Raises:
        RewriteError: nothing has been written then.
    """
    job.require_same_weights()
    job.require_dynamic_sizes()
    scratch = make_scratch(output)
    try:
        if output.suffix == ".pt2":
            _write_pt2(job, scratch / output.name)
        else:
            _write_onnx(job, scratch / output.name)
        artifact = job.result.artifact
        assert artifact is not None
        with contextlib.ExitStack() as stack:
            if recipe is not None:
                _write_recipe(job, stack.enter_context(replacing(recipe)))
            place(artifact.path, output)
        artifact.path = output
    except RewriteError as error:
        # The folder is ours, and gone by now: people named another one.
        error.what = error.what.replace(str(scratch), str(output.parent))
        raise
    except OSError as error:
        raise UsageError(f"cannot write '{output}': {error.strerror or error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write_recipe(job: Job, path: Path) -> None:
    result = job.result
    write_recipe(
        path,
        result.passes,
        target=result.target,
        opset=result.opset,
        seed=result.seed,
        fix=result.fixed,
        version=rewrite.__version__,
    )


def _write_pt2(job: Job, path: Path) -> None:
    job.talk.step("write the program for PyTorch")
    strict = job.request.checks == "strict"
    samples = _samples(job)
    _hold_captured(job, samples, Judge(job.result.captured or job.program))
    job.result.artifact, run = write_pt2(job.program, path, samples, strict=strict)
    evaluate(job, "deployed", job.fixed.runner(run))


def _write_onnx(job: Job, path: Path) -> None:
    result = job.result
    job.talk.step(f"lower to ONNX opset {result.opset}")
    done = legalize(
        job.program,
        job.target,
        job.host,
        job.context,
        checked=job.checked,
        on_report=job.talk.passed,
    )
    result.legalizations = done.reports
    judge, samples = Judge(result.captured or job.program), _samples(job)
    if job.lossy:
        _hold_captured(job, samples, judge)
    artifact = result.artifact = build_artifact(
        done.program,
        path,
        request=job.request,
        opset=result.opset,
        target=job.target,
        lowerings=job.host.lowerings(),
        samples=samples,
        judge=judge,
        metadata=_metadata(job, done.program),
        talk=job.talk,
        loss=result.loss,
        lossy=job.lossy,
    )
    if artifact.loaded is not None:
        evaluate(job, "deployed", job.fixed.runner(artifact.runner(job.program)))
    artifact.record("metrics", result.metrics)
    if job.request.latency and artifact.loaded is not None:
        _latency(job, path.parent / "float.onnx")


def _samples(job: Job) -> list[Sample]:
    samples, warnings = take_samples(job.description, job.program, job.eager)
    for text in warnings:
        job.talk.warn(text)
    return samples


def _hold_captured(job: Job, samples: Sequence[Sample], judge: Judge) -> None:
    """Hold what was captured to the model, where nothing else does, or rounding would hide it."""
    captured = job.result.captured
    if captured is None or job.request.checks == "off":
        return
    error = hold_captured(captured, samples, judge)
    if error is not None and job.request.checks == "strict":
        raise error
    if error is not None:
        job.talk.warn(error.what)


def _latency(job: Job, path: Path) -> None:
    """Time the file beside a float file of the same model, alternating between the two."""
    result, host = job.result, job.host
    assert result.artifact is not None and result.captured is not None
    job.talk.step("lower the float program and time both files")
    if busy():
        job.talk.warn(busy())
    passes = choose_passes(host, Request(result.model, preset=DEFAULT_PRESET))
    program = run_passes(result.captured, passes, job.context, checked=False).program
    program = legalize(program, job.target, host, job.context, checked=False).program
    result.artifact.time_against(program, path, result.opset, host.lowerings(), job.request.threads)


def evaluate(job: Job, name: str, run: Any) -> None:
    """Let the model file score one way of running the model, under a name."""
    if job.description.evaluate is None or not job.request.evaluate:
        return
    job.talk.step(f"evaluate {name}")
    try:
        with torch.no_grad():
            job.result.metrics[name] = job.description.evaluate(on_copies(run))
    except OtherSize as error:
        job.talk.warn(f"the {name} was not evaluated: {error.what}")


def _metadata(job: Job, program: Program) -> dict[str, Any]:
    return {
        "version": rewrite.__version__,
        "torch": torch.__version__,
        "model": job.request.model,
        "target": job.request.target,
        "seed": job.request.seed,
        "fixed": job.result.fixed,
        "ledger": program.ledger,
    }
