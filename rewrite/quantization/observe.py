"""Streaming observation: run batches through a marked program, keep one estimator per tensor."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import fx

from rewrite.checks.finite import all_finite
from rewrite.descriptors import Calibrator
from rewrite.device import DeviceInterpreter
from rewrite.errors import CheckError, UsageError
from rewrite.inputs import split_inputs
from rewrite.interpret import NOT_HANDLED
from rewrite.passes import Context
from rewrite.program import Program
from rewrite.provenance import source_line
from rewrite.quantization.batches import Inputs, check_batch, no_batches, pieces
from rewrite.quantization.cache import CalibrationCache, Progress
from rewrite.quantization.data_digest import DataDigest
from rewrite.quantization.estimators import Estimators
from rewrite.quantization.failing_batch import on_batch
from rewrite.quantization.markers import OBSERVE
from rewrite.quantization.owners import find_owners
from rewrite.quantization.padding import Mask, Padding
from rewrite.quantization.spec import QuantSpec
from rewrite.quantization.trial import Ranges, Trial

_PARTS_TRIED = 8
"""On how many parts of the data candidate ranges are compared, where there is a choice."""
_PARTS_OF_A_BATCH = 4
"""A quarter says as much as the whole, and holds less memory while results are kept."""


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
        PluginError: for a calibrator that raises, or whose bounds are none.
    """
    return _Observation(program, context, make, how).run()


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
        self.estimators = Estimators(self.specs, make, context.origin)
        self.progress = Progress()
        self.kept: dict[Mask, torch.Tensor] = {}
        self.interpreter = DeviceInterpreter(program, context.device, self._intercept)
        if how.cache is not None or how.nan == "skip":
            self.estimators.need_states()

    def run(self) -> Observed:
        self._resume()
        counted, again = self.progress.batches, DataDigest()
        for number, inputs in self._numbered():
            if number <= counted:
                again.add(self._flat(inputs).values())
                different = self.progress.data.unlike(again)
                self._refuse(different and f"{different} is another")
            else:
                more = f"there are more than the {counted} batches that were counted"
                self._refuse(more if self.progress.complete else "")
                self._take(number, inputs)
            self.context.progress("calibrate", number, self._total())
        left = again.batches
        self._refuse(f"{left} of {counted} batches are left" if left < counted else "")
        if not self.progress.complete:
            self._require_batches()
            self.progress.complete = True
            self._save()
        bounds = self._ranges()
        measures = {"chosen": self.progress.chosen} if self.estimators.choose else {}
        return Observed(bounds, self._counted(), self._notes(), measures)

    def _resume(self) -> None:
        found = self.how.cache.load() if self.how.cache else None
        if found is None:
            return
        self.progress, states = found
        if self.how.cache is not None and not self.estimators.could_make(states):
            raise self.how.cache.other_states()
        self.estimators.load_states(states)

    def _refuse(self, why: str) -> None:
        """Raise the error of a cache of other data, unless there is no reason."""
        if self.how.cache is not None and why:
            raise self.how.cache.other_data(why)

    def _numbered(self) -> Iterator[tuple[int, Inputs]]:
        """Yield every batch with its number; the example's when there are no calibration data."""
        source = self.context.calibration
        data = map(split_inputs, source()) if source else [self.program.example]
        for number, inputs in enumerate(itertools.islice(data, self.how.batches), start=1):
            check_batch(self.program, *inputs, f"calibration batch {number}")
            yield number, inputs

    def _total(self) -> int | None:
        return self.how.batches if self.context.calibration else None

    def _counted(self) -> int:
        return self.progress.batches - len(self.progress.left_out)

    def _require_batches(self) -> None:
        if self._counted():
            return
        if self.progress.left_out:
            why = next(iter(self.progress.left_out.values()))
            raise CheckError("no calibration batch is left", hint=why)
        raise no_batches()

    def _take(self, number: int, inputs: Inputs) -> None:
        args, kwargs = inputs
        before = self.estimators.states() if self.how.nan == "skip" else {}
        self.kept = self._kept(inputs)
        try:
            with on_batch(self.program, inputs, number):
                self.interpreter.run_inputs(args, kwargs)
        except NotFiniteError as error:
            problem = CheckError(
                f"calibration batch {number}: {error.what}",
                where=error.where,
                hint="look at the batch; a NaN input or an overflow cannot be given a scale. To "
                "leave such batches out: calibrate{nan=skip}",
            )
            if self.how.nan == "refuse":
                raise problem from None
            self.estimators.load_states(before)
            self.progress.left_out[str(number)] = problem.what
        else:
            self._count_tokens()
        self.progress.batches = number
        if self.how.cache is not None:
            self.progress.data.add(self._flat(inputs).values())
            if self.how.cache.is_due():
                self._save()

    def _intercept(self, node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if node.target is not OBSERVE:
            return NOT_HANDLED
        if node in self.owners:
            group = self.owners[node].group
            values = self._select(node, args[0])
            if values.numel():
                _require_finite(values, group, node)
                self.estimators.observe(group, values)
        return args[0]

    def _select(self, node: fx.Node, values: torch.Tensor) -> torch.Tensor:
        padding = self.how.padding
        return padding.select(node, values, self.kept) if padding else values

    def _where(self, node: fx.Node, values: torch.Tensor) -> torch.Tensor | None:
        padding = self.how.padding
        return padding.where(node, values, self.kept) if padding else None

    def _kept(self, inputs: Inputs) -> dict[Mask, torch.Tensor]:
        if self.how.padding is None:
            return {}
        return self.how.padding.kept(self._flat(inputs))

    def _flat(self, inputs: Inputs) -> dict[str, Any]:
        """Return the inputs by their names."""
        signature = self.program.signature
        return dict(zip(signature.input_names, signature.flatten_inputs(*inputs), strict=True))

    def _count_tokens(self) -> None:
        for kept in self.kept.values():
            self.progress.tokens += kept.numel()
            self.progress.padding += int((~kept).sum())

    def _ranges(self) -> dict[str, tuple[float, float]]:
        """Return the range of every group; where there is a choice, the one that costs least."""
        if not self.estimators.choose:
            return self.estimators.bounds()
        candidates = self.estimators.candidates()
        if not self.progress.chosen:
            self.progress.chosen = self._try(candidates)
            self._save()
        return {group: candidates[group][n] for group, n in self.progress.chosen.items()}

    def _try(self, candidates: dict[str, Ranges]) -> dict[str, str]:
        """Return which range costs least on parts of a few batches, spread evenly over the data."""
        self.interpreter.forget()
        device = self.context.device
        trial = Trial(self.program, device, candidates, self.specs, self._where)
        step = math.ceil(self.progress.batches / _PARTS_TRIED)
        counted = [n for n in range(1, self.progress.batches + 1) if self._is_counted(n)]
        wanted = counted[::step]
        each = math.ceil(_PARTS_TRIED / len(wanted))
        for number, inputs in self._numbered():
            if number in wanted:
                parts = pieces(self.program, inputs, _PARTS_OF_A_BATCH)
                # Another quarter of each, in case that batches are ordered.
                start = wanted.index(number) % len(parts)
                for part in [*parts[start:], *parts[:start]][:each]:
                    self.kept = self._kept(part)
                    with on_batch(self.program, part, number):
                        trial.run_inputs(*part)
                self.context.progress("compare ranges", number, wanted[-1])
            if number == wanted[-1] or trial.decided:
                break
        return trial.chosen

    def _is_counted(self, number: int) -> bool:
        return str(number) not in self.progress.left_out

    def _notes(self) -> list[str]:
        notes = [f"left out: {why}" for why in self.progress.left_out.values()]
        if self.progress.padding:
            notes.append(
                f"{self.progress.padding} of {self.progress.tokens} tokens are padding "
                "and did not count"
            )
        if self.estimators.choose:
            counts = Counter(self.progress.chosen.values()).most_common()
            told = ", ".join(f"{name} for {count}" for name, count in counts)
            notes.append(f"least error behind the tensors: {told}")
        return notes

    def _save(self) -> None:
        if self.how.cache is not None:
            self.how.cache.save(self.progress, self.estimators.states())


def _require_finite(values: torch.Tensor, group: str, node: fx.Node) -> None:
    if not all_finite(values):
        where = source_line(node) or None
        raise NotFiniteError(f"tensor '{group}' holds NaN or infinite values", where=where)
