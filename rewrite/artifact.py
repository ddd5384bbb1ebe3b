"""The file that is deployed: built, run on real runtimes, and put in place when it holds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from rewrite.checks.floors import hold_on_runtime, hold_program, loss_at_other_sizes
from rewrite.checks.judge import Judge
from rewrite.checks.samples import Sample
from rewrite.descriptors import Lowering
from rewrite.equivalence import Difference
from rewrite.errors import CheckError
from rewrite.file_metadata import add_metadata
from rewrite.file_parts import size_of
from rewrite.kernel_counts import int8_summary, require_int8
from rewrite.lint import Violation
from rewrite.lint.hold import hold_to_rules
from rewrite.lowering.agreement import end_to_end, layer_by_layer, simulate
from rewrite.lowering.first_refused import refusal
from rewrite.lowering.lower import Lowered, feeds, lower, save
from rewrite.on_runtime import OnRuntime
from rewrite.output_lines import line_of_output
from rewrite.program import Program
from rewrite.runtimes import LoadedModel, Runtime, RuntimeFailure, get_runtime
from rewrite.talk import Talk
from rewrite.target import Target

if TYPE_CHECKING:
    from rewrite.request import Request

_TIMED_SECONDS = 2.0


@dataclass
class Artifact:
    """A file and everything that was found out by running it."""

    path: Path
    opset: int | None = None
    ops: dict[str, int] = field(default_factory=dict)
    runtimes: list[OnRuntime] = field(default_factory=list)
    latency: dict[str, float | None] = field(
        default_factory=lambda: {"float": None, "deployed": None}
    )
    spread: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """Of the latencies, in ms: a tenth of the runs is faster than the first, a tenth slower."""
    violations: list[Violation] = field(default_factory=list)
    """Where it breaks the written rules of its target, if that cannot run here."""
    size: int = 0
    loaded: LoadedModel | None = None
    lowered: Lowered | None = None
    simulated: list[list[Any]] = field(default_factory=list)
    """What the program computes on the samples, once it was needed."""

    def describe(self) -> dict[str, Any]:
        """Return the entry `artifact` of the command line's JSON."""
        return {
            "path": str(self.path),
            "bytes": self.size,
            "opset": self.opset,
            "ops": self.ops,
            "violations": [asdict(violation) for violation in self.violations],
        }

    @property
    def first(self) -> OnRuntime | None:
        """What the first runtime that ran the file made of it: the one that decides."""
        return next((r for r in self.runtimes if r.agreement is not None), None)

    def agreement_json(self) -> dict[str, Any] | None:
        """Return how the first runtime agrees with the simulated program."""
        return self.first.as_json()["agreement"] if self.first else None

    def int8_json(self) -> dict[str, Any] | None:
        """Return which int8 kernels the first runtime chose."""
        return int8_summary(self.first.kernels) if self.first else None

    def runtimes_json(self) -> dict[str, Any]:
        """Return what every runtime said, by name."""
        return {r.name: r.as_json() for r in self.runtimes}

    def run_on(
        self,
        runtime: Runtime,
        program: Program,
        samples: Sequence[Sample],
        judge: Judge,
        threads: int,
    ) -> None:
        """Run the file on a runtime, compare it with `program`, and read the kernels chosen.

        What was found out, if only that it failed, is the last of `runtimes`.

        Raises:
            RuntimeFailure: when the runtime refuses the file or the inputs.
            CheckError: when an output has another shape.
        """
        lowered = self.lowered
        assert lowered is not None
        found = OnRuntime(runtime.name, runtime.version)
        self.runtimes.append(found)
        names = [str(v.name) for v in lowered.model.graph.inputs]
        loaded = runtime.load(self.path, threads)
        self.simulated = self.simulated or simulate(program, samples)
        ends = end_to_end(program, loaded, names, samples, self.simulated, judge)
        agreement = ends.simulated
        if runtime.name == "onnxruntime":
            agreement.layers = layer_by_layer(lowered, self.path, names, samples[0].inputs)
        found.agreement, found.resized, found.model = agreement, ends.resized, ends.model
        found.model_resized = ends.model_resized
        found.kernels = loaded.kernels()
        flat = program.signature.flatten_inputs(*samples[0].inputs)
        found.caveat = loaded.caveat(feeds(program, flat, names))
        self.loaded = self.loaded or loaded

    def record(self, name: str, value: Any) -> None:
        """Store what was found out in the metadata of the file."""
        add_metadata(self.path, name, value)
        self.size = size_of(self.path)

    def runner(self, program: Program) -> Callable[..., Any]:
        """Return a function that calls the file as the model is called."""
        loaded = self.loaded
        assert loaded is not None
        return deployed_runner(program, loaded)

    def time_against(
        self,
        program: Program,
        path: Path,
        opset: int,
        lowerings: Sequence[Lowering],
        threads: int,
    ) -> None:
        """Lower a float program to `path` and time it beside this file, in turns."""
        assert self.loaded is not None and self.lowered is not None and self.first is not None
        baseline = lower(program, opset, table_of(lowerings, ""), {})
        save(baseline.model, path)
        other = get_runtime(self.first.name).load(path, threads)
        given = self.lowered.program
        flat = given.signature.flatten_inputs(*given.example)
        times: dict[str, list[float]] = {"float": [], "deployed": []}
        for _ in range(3):
            for name, model in (("float", other), ("deployed", self.loaded)):
                inputs = feeds(given, flat, given.signature.input_names)
                times[name] += model.latency(inputs, 50, _TIMED_SECONDS / 6)
        self.latency = {name: statistics.median(values) for name, values in times.items()}
        self.spread = {name: tuple(statistics.quantiles(v, n=10)[::8]) for name, v in times.items()}


def build_artifact(
    program: Program,
    path: Path,
    *,
    request: Request,
    opset: int,
    target: Target,
    lowerings: Sequence[Lowering],
    samples: Sequence[Sample],
    judge: Judge,
    metadata: Mapping[str, Any],
    talk: Talk,
    loss: Difference | None = None,
    lossy: bool = False,
) -> Artifact:
    """Lower a legalized program to `path`, run it, and hold it to what was simulated.

    Every installed runtime of the target decides, or those that the request names; what is wrong
    with the file on another one is told and recorded, and stops nothing.

    Raises:
        CheckError: when a check fails.
    """
    lowered = lower(program, opset, table_of(lowerings, target.name), metadata, target.avoids)
    save(lowered.model, path)
    artifact = Artifact(path, opset, lowered.ops(), lowered=lowered, size=size_of(path))
    program.forget_unrounded()
    artifact.violations = hold_to_rules(path, lowered.model, target, request.checks, talk)
    for name in target.runtimes if target.fits_here else ():
        runtime = get_runtime(name)
        if not runtime.available():
            talk.warn(f"{name} is not installed: the file was not run on it")
            continue
        talk.step(f"run on {name} {runtime.version}")
        error = _problem(artifact, runtime, program, samples, judge, request, loss, lossy=lossy)
        _warn(artifact, request, talk, lossy=lossy)
        decides = request.runtimes is None or name in request.runtimes
        if error is not None and decides and request.checks == "strict":
            raise CheckError(f"{name}: {error.what}", where=error.where, hint=error.hint)
    if artifact.first is None and request.checks != "off":
        artifact.simulated = artifact.simulated or simulate(program, samples)
        error = hold_program(lowered, samples, artifact.simulated, request, judge, lossy=lossy)
        if error is not None and request.checks == "strict":
            raise error
        if error is not None:
            talk.warn(error.what)
    if request.require_int8 is not None:
        _require_int8(artifact, target, request.require_int8)
    return artifact


def _warn(artifact: Artifact, request: Request, talk: Talk, *, lossy: bool) -> None:
    """Tell what users of the runtime that was tried last must know of the file."""
    found = artifact.runtimes[-1]
    assert artifact.lowered is not None
    if found.caveat:
        talk.warn(f"{found.name}: {found.caveat}")
    if found.undecided:
        talk.warn(
            f"{found.name}: {found.undecided} values follow the order of equal ones, which it "
            "chooses otherwise than torch: they were not compared"
        )
    if found.rounded:
        talk.warn(
            f"{found.name}: {found.rounded} values are nothing but rounding, as a mean of numbers "
            "that cancel, which no two libraries agree on: they were not compared"
        )
    lost = loss_at_other_sizes(found, artifact.lowered, request, lossy=lossy)
    if lost and found is artifact.first:
        talk.warn(lost)


def _require_int8(artifact: Artifact, target: Target, percent: float) -> None:
    if artifact.first is None:
        raise CheckError(
            f"--require-int8: the file ran on no runtime of target '{target.name}'",
            hint=_where_to_run(target),
        )
    require_int8(artifact.first.kernels, percent)


def _where_to_run(target: Target) -> str:
    if not target.runtimes:
        return f"nothing runs files for '{target.name}' here: leave the option out"
    if not target.fits_here:
        return f"compile on one of: {', '.join(target.machines)}"
    return f"install one of: {', '.join(target.runtimes)}"


def _problem(
    artifact: Artifact,
    runtime: Runtime,
    program: Program,
    samples: Sequence[Sample],
    judge: Judge,
    request: Request,
    loss: Difference | None,
    *,
    lossy: bool,
) -> CheckError | None:
    """Run a file on a runtime and return what is wrong with it there, recorded as well."""
    assert artifact.lowered is not None
    try:
        artifact.run_on(runtime, program, samples, judge, request.threads)
        if request.checks != "off":
            hold_on_runtime(artifact.runtimes[-1], artifact.lowered, request, loss, lossy=lossy)
    except RuntimeFailure as failure:
        error = refusal(artifact.lowered.model, runtime, failure, request.threads)
    except CheckError as failure:
        where = failure.where or line_of_output(program, failure.what)
        error = CheckError(failure.what, where=where or None, hint=failure.hint or None)
    else:
        return None
    artifact.runtimes[-1].problem = error.what
    return error


def deployed_runner(program: Program, loaded: LoadedModel) -> Callable[..., Any]:
    """Return a function that runs a file with torch tensors, structured as the model's result.

    What the model returns beside tensors is as it was captured: the file does not have it.
    """
    signature = program.signature

    def run(*args: Any, **kwargs: Any) -> Any:
        flat = signature.flatten_inputs(args, kwargs)
        results = loaded.run(feeds(program, flat, signature.input_names))
        named = zip(signature.output_names, program.outputs(), strict=True)
        return signature.unflatten_outputs([_leaf(name, node, results) for name, node in named])

    return run


def _leaf(name: str, output: Any, results: Mapping[str, Any]) -> Any:
    """Return one leaf of the model's result: a tensor, a size as a number, or a constant."""
    if not isinstance(output, fx.Node):
        return output
    value = torch.from_numpy(results[name])
    return value if isinstance(output.meta["val"], torch.Tensor) else value.item()


def table_of(lowerings: Sequence[Lowering], target: str) -> dict[Any, Callable[..., Any]]:
    """Return the translations for a target; its own win over those for all targets."""
    served = [e for e in lowerings if not e.targets or target in e.targets]
    return {e.overload: e.translate for e in sorted(served, key=lambda e: bool(e.targets))}
