"""Streaming observation: run batches through a marked program, keep one estimator per tensor."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import fx

from rewrite.descriptors import Calibrator, State
from rewrite.device import DeviceInterpreter
from rewrite.errors import CheckError, UsageError
from rewrite.interpret import NOT_HANDLED
from rewrite.passes import Context
from rewrite.program import Program
from rewrite.quantization.batches import check_batch, split
from rewrite.quantization.cache import CalibrationCache, Progress
from rewrite.quantization.kinds import is_weight
from rewrite.quantization.markers import OBSERVE
from rewrite.quantization.padding import Mask, Padding
from rewrite.quantization.spec import QuantSpec
from rewrite.quantization.trial import Ranges, Trial
from rewrite.schema import arguments
from rewrite.target import Target

Inputs = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass
class Observed:
    """The (low, high) range of every group of tensors."""

    bounds: dict[str, tuple[float, float]]
    batches: int
    notes: list[str] = field(default_factory=list)
    measures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class How:
    """How calibration data are looked at."""

    batches: int | None = None
    """Stop after so many."""
    nan: Literal["refuse", "skip"] = "refuse"
    """What becomes of a batch in which a tensor is NaN or infinite."""
    padding: Padding | None = None
    """Tokens that do not count."""
    cache: CalibrationCache | None = None


@dataclass(frozen=True)
class Owner:
    """The first mark of a group of activations that needs a range."""

    group: str
    spec: QuantSpec


class NotFiniteError(CheckError):
    """A tensor is NaN or infinite on a calibration batch."""


def observe(
    program: Program, context: Context, make: Callable[[QuantSpec], Calibrator], how: How
) -> Observed:
    """Estimate the range of every marked activation.

    Args:
        program: with `observe` marks.
        context: gives the calibration data, or None for the example inputs, target and device.
        make: makes the estimator of one tensor.
        how: which batches and tokens count, and where to keep what was learnt.

    Raises:
        UsageError: for an empty calibration, a batch that does not fit the model, or a cache of
            another calibration.
        CheckError: for a batch in which a tensor is NaN or infinite.
    """
    return _Observation(program, context, make, how).run()


def find_owners(program: Program, target: Target) -> dict[fx.Node, Owner]:
    """Return the first mark of each group of activations that needs a range."""
    owners: dict[fx.Node, Owner] = {}
    seen: set[str] = set()
    for node in program.graph.nodes:
        if node.target is not OBSERVE:
            continue
        bound = arguments(node)
        spec = target.spec(bound["spec"])
        if spec.per_channel and is_weight(bound["x"]):
            continue
        if not spec.is_fixed and bound["group"] not in seen:
            seen.add(bound["group"])
            owners[node] = Owner(bound["group"], spec)
    return owners


class _Observation:
    """One run over the data; everything it learns is in `estimators` and `progress`."""

    def __init__(
        self,
        program: Program,
        context: Context,
        make: Callable[[QuantSpec], Calibrator],
        how: How,
    ) -> None:
        if context.target is None:
            raise UsageError("calibration needs a target")
        self.program, self.context, self.how = program, context, how
        self.owners = find_owners(program, context.target)
        self.specs = {owner.group: owner.spec for owner in self.owners.values()}
        self.estimators = {group: make(spec) for group, spec in self.specs.items()}
        self.progress = Progress()
        self.kept: dict[Mask, torch.Tensor] = {}
        self.last: Inputs | None = None
        self.chooses = any(_has_own(e, "candidates") for e in self.estimators.values())
        self.interpreter = DeviceInterpreter(program, context.device, self._intercept)
        if how.cache is not None or how.nan == "skip":
            self._need_states()

    def run(self) -> Observed:
        self._resume()
        if not self.progress.complete or self.chooses:
            self._look()
        if not self.progress.last:
            if self.progress.notes:
                raise CheckError("no calibration batch is left", hint=self.progress.notes[0])
            raise UsageError(
                "calibration() gave no inputs",
                hint="yield a few batches of representative inputs, each as inputs() returns them",
            )
        done = self.progress
        if not done.complete:
            done.complete = True
            self._save()
        bounds, chosen = self._ranges()
        return Observed(bounds, done.batches - len(done.notes), self._notes(chosen), chosen)

    def _resume(self) -> None:
        found = self.how.cache.load() if self.how.cache else None
        if found is None:
            return
        self.progress, states = found
        for group, state in states.items():
            self.estimators[group].load_state(state)

    def _look(self) -> None:
        """Feed every batch that the cache does not know; keep the last one if a choice needs it."""
        source = self.context.calibration
        data: Iterable[Any] = source() if source else [None]
        total = self.how.batches
        seen = self.progress.batches
        for number, given in enumerate(itertools.islice(data, total), start=1):
            inputs = split(given) if source else self.program.example
            if number > seen and not self.progress.complete:
                self._take(number, inputs)
            if self.chooses and number == self.progress.last:
                self.last = inputs
            self.context.progress("calibrate", number, total if source else None)
            if self.progress.complete and self.last is not None:
                break

    def _take(self, number: int, inputs: Inputs) -> None:
        args, kwargs = inputs
        check_batch(self.program, args, kwargs, f"calibration batch {number}")
        before = self._states() if self.how.nan == "skip" else {}
        self.kept = self._kept(inputs)
        try:
            self.interpreter.run_inputs(args, kwargs)
        except NotFiniteError as error:
            problem = CheckError(
                f"calibration batch {number}: {error.what}",
                hint="look at the batch; a NaN input or an overflow cannot be given a scale. To "
                "leave such batches out: calibrate{nan=skip}",
            )
            if self.how.nan == "refuse":
                raise problem from None
            for group, state in before.items():
                self.estimators[group].load_state(state)
            self.progress.notes.append(f"left out: {problem.what}")
        else:
            self.progress.last = number
            self._count_tokens()
        self.progress.batches = number
        if self.how.cache is not None and self.how.cache.is_due():
            self._save()

    def _intercept(self, node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if node.target is not OBSERVE:
            return NOT_HANDLED
        if node in self.owners:
            group = self.owners[node].group
            values = self._select(node, args[0])
            if values.numel():
                _require_finite(values, group)
                self.estimators[group].observe(values)
        return args[0]

    def _select(self, node: fx.Node, values: torch.Tensor) -> torch.Tensor:
        padding = self.how.padding
        return padding.select(node, values, self.kept) if padding else values

    def _kept(self, inputs: Inputs) -> dict[Mask, torch.Tensor]:
        if self.how.padding is None:
            return {}
        signature = self.program.signature
        named = zip(signature.input_names, signature.flatten_inputs(*inputs), strict=True)
        return self.how.padding.kept(dict(named))

    def _count_tokens(self) -> None:
        for kept in self.kept.values():
            self.progress.tokens += kept.numel()
            self.progress.padding += int((~kept).sum())

    def _ranges(self) -> tuple[dict[str, tuple[float, float]], dict[str, Any]]:
        """Return the range of every group, and by which calibrator where there was a choice."""
        if not self.chooses or self.last is None:
            return {group: e.bounds() for group, e in self.estimators.items()}, {}
        candidates: dict[str, Ranges] = {g: e.candidates() for g, e in self.estimators.items()}
        self.kept = self._kept(self.last)
        device = self.context.device
        trial = Trial(self.program, device, candidates, self.specs, self._select)
        trial.run_inputs(*self.last)
        best = {group: min(costs, key=lambda n: costs[n]) for group, costs in trial.costs.items()}
        bounds = {group: candidates[group][name] for group, name in best.items()}
        return bounds, {"chosen": best}

    def _notes(self, chosen: dict[str, Any]) -> list[str]:
        notes = list(self.progress.notes)
        if self.context.calibration is None:
            notes.append("no calibration(): the example inputs were used instead")
        if self.progress.padding:
            notes.append(
                f"{self.progress.padding} of {self.progress.tokens} tokens are padding "
                "and did not count"
            )
        if chosen:
            counts = Counter(chosen["chosen"].values()).most_common()
            told = ", ".join(f"{name} for {count}" for name, count in counts)
            notes.append(f"least error behind the tensors: {told}")
        return notes

    def _states(self) -> dict[str, State]:
        return {group: estimator.state() for group, estimator in self.estimators.items()}

    def _save(self) -> None:
        if self.how.cache is not None:
            self.how.cache.save(self.progress, self._states())

    def _need_states(self) -> None:
        for estimator in self.estimators.values():
            if not (_has_own(estimator, "state") and _has_own(estimator, "load_state")):
                raise UsageError(
                    f"calibrator '{estimator.name}' cannot be stopped and resumed",
                    hint="give it state() and load_state(), or leave out --calibration-cache and "
                    "nan=skip",
                )


def _has_own(estimator: Calibrator, method: str) -> bool:
    return getattr(type(estimator), method) is not getattr(Calibrator, method)


def _require_finite(values: torch.Tensor, group: str) -> None:
    # The extremes are NaN or infinite when any value is, and need no memory to compute.
    if not all(bool(torch.isfinite(v)) for v in torch.aminmax(values)):
        raise NotFiniteError(f"tensor '{group}' holds NaN or infinite values")
