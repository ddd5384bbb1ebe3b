"""Profitability: layers stay float where that makes the file faster on the user's own runtime."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from torch import fx

from rewrite.artifact import table_of
from rewrite.busy import busy
from rewrite.compile import rewrite_model
from rewrite.duel import fight
from rewrite.errors import UsageError
from rewrite.inspection import NotQuantizedError
from rewrite.job import choose_passes, legalize
from rewrite.layer_sizes import layer_name
from rewrite.lowering.lower import feeds, lower, save
from rewrite.overrides import Overridable
from rewrite.passes import Context, Pass
from rewrite.pipeline import run_passes
from rewrite.plugin_host import PluginHost
from rewrite.printer import symbol_names, symbolic
from rewrite.program import Program
from rewrite.quantization.found_precision import found_precision
from rewrite.quantization.kinds import is_weight, kind
from rewrite.quantization.markers import MARKERS
from rewrite.request import Request
from rewrite.runtimes import Array, LoadedModel, Runtime, get_runtime
from rewrite.schema import arguments
from rewrite.steering import faults_of, steer_specs
from rewrite.talk import Talk
from rewrite.target import Target

_KERNELS = ("conv", "conv-transpose", "linear", "matmul")
_ALL = "*"
_SHAPED = ("stride", "padding", "dilation", "groups")


@dataclass(frozen=True)
class Group:
    """Layers of one kind, shape and input: what holds for one holds for all."""

    label: str
    """For people, such as `conv [32, 1, 3, 3] of [2, 32, 56, 56]`."""
    names: tuple[str, ...]

    @property
    def overrides(self) -> tuple[str, ...]:
        """What would leave them float."""
        return tuple(f"{name}=float" for name in self.names)


@dataclass(frozen=True)
class Attempt:
    """One group that was left float on trial."""

    group: Group
    ratio: float
    """Time of the file with the group float over that with it quantized."""
    kept: bool
    """Whether it is left float."""

    def as_json(self) -> dict[str, Any]:
        """Return the entry of `attempts` in the command line's JSON."""
        return {
            "layers": self.group.label,
            "overrides": list(self.group.overrides),
            "ratio": round(self.ratio, 4),
            "left_float": self.kept,
        }


@dataclass(frozen=True)
class Choice:
    """A request whose file is the fastest of those tried."""

    request: Request
    runtime: str
    attempts: tuple[Attempt, ...]
    start_ms: float
    """Of the request with int8 wherever its target has a kernel for it."""
    reached_ms: float
    float_ms: float
    """With every layer float that the request does not name."""
    named: int
    """How many layers the request's own `override` and `skip` name: they stay as they are."""
    all_float: bool
    """Whether that is what was chosen."""

    def as_json(self) -> dict[str, Any]:
        """Return the entry `measure` of the command line's JSON."""
        return {
            "runtime": self.runtime,
            "start_ms": round(self.start_ms, 4),
            "reached_ms": round(self.reached_ms, 4),
            "float_ms": round(self.float_ms, 4),
            "named": self.named,
            "all_float": self.all_float,
            "attempts": [attempt.as_json() for attempt in self.attempts],
        }


def choose_by_time(
    request: Request, passes: Sequence[Pass], host: PluginHost, talk: Talk
) -> Choice:
    """Leave groups of layers float on trial, time both files in turns, keep what is faster.

    A group is all layers of one kind, shape and input. Each is tried against the best file so far,
    with the example inputs; at the end the best one meets the file with every layer float. The
    target's cost table has no say. Layers that the user's own `override` and `skip` name stay as
    they are, and are not timed.

    Args:
        request: its passes or preset say what is quantized to begin with.
        passes: what the request asks for; one of them takes overrides.
        host: gives passes, target and translations.
        talk: told of every attempt.

    Raises:
        UsageError: when no runtime of the target is installed, or nothing is quantized but what the
            user's own options name.
    """
    folder = Path(mkdtemp(prefix="rewrite-"))
    try:
        return _Search(request, passes, host, talk, folder).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Search:
    def __init__(
        self,
        request: Request,
        passes: Sequence[Pass],
        host: PluginHost,
        talk: Talk,
        folder: Path,
    ) -> None:
        self.overridable = Overridable(request, passes)
        self.request, self.host, self.talk, self.folder = request, host, talk, folder
        self.target = _steered(host, request.target)
        self.runtime = _first_runtime(self.target)
        talk.step(f"time what int8 gains on {self.runtime.name} {self.runtime.version}")
        if busy():
            talk.warn(busy())
        # What comes of a trial is of no use to the calibration that is asked for.
        bare = replace(request, passes=(), preset=None, calibration_cache=None)
        found = rewrite_model(bare, host)
        assert found.captured is not None
        self.captured, self.opset = found.captured, found.opset
        # Times do not depend on scales: the example inputs are data enough.
        self.context = Context(
            target=self.target,
            seed=request.seed,
            calibrators=dict(host.calibrators()),
            origin=host.origin,
        )

    def run(self) -> Choice:
        quantized = self._program(())
        named = self._named()
        groups = find_groups(quantized, named)
        if not groups:
            raise _nothing_to_time(quantized)
        inputs = self._feeds(quantized)
        best, chosen = self._load(quantized), list[str]()
        start = best.latency(inputs, 5)
        plain = self._load(self._program((_ALL,)))
        attempts = []
        for number, group in enumerate(groups, start=1):
            wanted = [*chosen, *group.names]
            other = self._load(self._program(wanted))
            duel = fight(best, other, inputs)
            attempts.append(Attempt(group, duel.ratio, duel.is_won))
            if duel.is_won:
                best, chosen = other, wanted
                self.talk.step(_told(attempts[-1]))
            self.talk.progress("time layers as float", number, len(groups))
        last = fight(best, plain, inputs)
        if last.is_won:
            chosen = [_ALL]
        reached, all_float = (statistics.median(t) for t in (last.champion, last.challenger))
        return Choice(
            request=self.overridable.request_without(chosen),
            runtime=self.runtime.name,
            attempts=tuple(attempts),
            start_ms=min(start),
            reached_ms=all_float if last.is_won else reached,
            float_ms=all_float,
            named=len(named),
            all_float=last.is_won,
        )

    def _program(self, slower: Sequence[str]) -> Program:
        passes = choose_passes(self.host, self.overridable.request_without(slower))
        return run_passes(self.captured, passes, self.context, checked=False).program

    def _named(self) -> set[str]:
        """Return the layers that the user's own options name, as the overridden pass finds them."""
        before = self.overridable.before
        plain = run_passes(self.captured, before, self.context, checked=False).program
        layers = {node.name for node in plain.graph.nodes if kind(node) in _KERNELS}
        return layers & self.overridable.named_by(plain)

    def _load(self, program: Program) -> LoadedModel:
        done = legalize(program, self.target, self.host, self.context, checked=False)
        legal = done.program
        table = table_of(self.host.lowerings(), self.target.name)
        lowered = lower(legal, self.opset, table, {}, self.target.avoids)
        path = self.folder / "trial.onnx"
        save(lowered.model, path)
        return self.runtime.load(path, self.request.threads)

    def _feeds(self, program: Program) -> Mapping[str, Array]:
        signature = program.signature
        flat = signature.flatten_inputs(*program.example)
        return feeds(program, flat, signature.input_names)


def find_groups(program: Program, named: Collection[str] = ()) -> list[Group]:
    """Return the quantized layers of a program, those of one kind, shape and input together.

    Args:
        program: quantized.
        named: calls that are left out.
    """
    symbols = symbol_names(program)
    members: dict[str, list[fx.Node]] = {}
    for node in program.graph.nodes:
        if kind(node) not in _KERNELS or node.name in named:
            continue
        if found_precision(node, program).activation is not None:
            members.setdefault(_label(node, symbols), []).append(node)
    groups = []
    for label, nodes in members.items():
        names = dict.fromkeys(_name(node) for node in nodes)
        times = f"{len(nodes)} × " if len(nodes) > 1 else ""
        groups.append(Group(f"{times}{label}", tuple(names)))
    return groups


def _label(node: fx.Node, symbols: dict[str, str]) -> str:
    """Return what a kernel's time depends on: kind, shapes of the weight or factor and input."""
    bound = arguments(node)
    tensors = [s.meta["val"] for s in node.all_input_nodes if s.meta["val"].dim() > 1]
    shapes = [f"[{', '.join(symbolic(n, symbols) for n in t.shape)}]" for t in tensors[:2]]
    shaped = [f"{k} {_one(bound[k])}" for k in _SHAPED if k in bound and _one(bound[k]) not in "01"]
    return ", ".join([f"{kind(node)} {' of '.join(reversed(shapes))}", *shaped])


def _one(value: Any) -> str:
    """Return a number, one for all of a list of equal ones."""
    if isinstance(value, (list, tuple)):
        return str(value[0]) if len(set(value)) == 1 else str(list(value))
    return str(value)


def _name(node: fx.Node) -> str:
    """Return what an override names a call by; one without a weight shares its module's name."""
    weights = [s for s in node.all_input_nodes if s.target in MARKERS]
    has_weight = any(is_weight(arguments(s)["x"]) for s in weights)
    return layer_name(node) if has_weight else node.name


def _nothing_to_time(program: Program) -> UsageError:
    if find_groups(program):
        return UsageError(
            "override and skip name every layer that is quantized: there is nothing to time",
            hint="leave out --measure, or some of them",
        )
    return NotQuantizedError(
        "nothing is quantized, so there is nothing to time",
        hint="--preset int8, or see: rewrite explain MODEL with the same passes",
    )


def _told(attempt: Attempt) -> str:
    return f"{attempt.group.label} stays float: {attempt.ratio:.2f} of the time"


def _steered(host: PluginHost, name: str) -> Target:
    target = host.find_target(name)
    return steer_specs(target, faults_of(target, host.faults()), Talk())


def _first_runtime(target: Target) -> Runtime:
    names = target.runtimes[:1]
    if not names:
        raise UsageError(
            f"nothing here runs files for '{target.name}', so nothing can be timed",
            hint="leave out --measure, or time a target that runs here",
        )
    runtime = get_runtime(names[0])
    if not runtime.available():
        raise UsageError(f"{names[0]} is not installed", hint="leave out --measure")
    return runtime
