"""How far the outputs of a file are from what they should be, and how far they may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rewrite.checks.judge import Judge, Judged
from rewrite.equivalence import Difference, difference, finite

LOWEST_QUANTIZED_SQNR = 20.0
"""Against the simulated program, in dB: flips of one step spread through deep networks."""
LOWEST_LOSSY_SQNR = 10.0
"""Of a quantized file against the eager model, in dB: the passes' own loss is part of it."""
LOWEST_HALF_SQNR = 40.0
"""In dB, with float16: weights are rounded to 11 bits, and runtimes round at other places."""
LOWEST_FLOAT_SQNR = 60.0
"""In dB, for a file without quantized tensors."""
LOWEST_EQUAL_SHARE = 0.99
"""Of the integers of a float file: two scores that are as good as equal may change places."""
LOWEST_SLOT_SHARE = 0.5
"""Of the slots that a sort orders, in a quantized file: the last of them are chosen by a hair."""


@dataclass(frozen=True)
class LayerReport:
    """How the runtime's quantized tensors differ from the simulated ones on the same inputs."""

    compared: int
    total: int
    max_lsb: int
    worst: str = ""


@dataclass
class Agreement:
    """A file against the program it was made from, or against the model."""

    difference: Difference
    """Of all batches together."""
    top1: float | None = None
    """Share of equal argmax over the last dimension, in %, for outputs that have classes."""
    worst_batch: str = ""
    """The batch with the smallest SQNR, in words; '' where none has a finite one."""
    worst_db: float = float("inf")
    worst_output: str = ""
    """The output that has it there, where there are several."""
    layers: LayerReport | None = None
    slots: tuple[int, int] = (0, 0)
    """Of the slots that a sort orders: how many are in the other result too, and all of them."""
    lost: str = ""
    """The output whose order has most of the others, '' for none."""
    undecided: int = 0
    """Values that follow the order of equal ones, which the file has otherwise."""
    rounded: int = 0
    """Values that are nothing but rounding, in which the file differs."""
    blind: tuple[str, ...] = ()
    """Outputs that hold no finite number on any batch: nothing of them could be compared."""

    @property
    def lowest_db(self) -> float:
        """The SQNR that decides: no output or batch may hide behind large values of another one."""
        return min(self.difference.sqnr_db, self.worst_db)

    @property
    def where(self) -> str:
        """What that SQNR was measured on, to go behind it in a sentence."""
        if not self.worst_batch or self.worst_db > self.difference.sqnr_db:
            return _inside(self.difference.output)
        return f"{_inside(self.worst_output)} on {self.worst_batch}"

    def shortfall(self, floor: float) -> str | None:
        """Say what is less than an SQNR, in dB, requires; None where nothing is.

        Integers have none. Where all is held to that of a float file, they are to be equal.
        """
        if self.blind:
            return f"in nothing: '{self.blind[0]}' holds no finite number, on any of the inputs"
        found, slots = self.slots
        share = LOWEST_EQUAL_SHARE if floor >= LOWEST_FLOAT_SQNR else LOWEST_SLOT_SHARE
        if found < share * slots:
            ordered = f"{found} of {slots} slots that a sort orders{_inside(self.lost)}"
            return f"only in {ordered} (required: {share:.0%})"
        if not self.lowest_db >= floor:
            return f"only to {self.lowest_db:.1f} dB{self.where} (required: {floor:g} dB)"
        integers = self.difference.integers
        if integers is None or integers.equal >= LOWEST_EQUAL_SHARE or floor < LOWEST_FLOAT_SQNR:
            return None
        equal = f"{100 * integers.equal:.2f} % of the integers{_inside(integers.output)}"
        return f"only in {equal} (required: {100 * LOWEST_EQUAL_SHARE:g} %)"

    def as_json(self) -> dict[str, Any]:
        """Return the entry `agreement` of the command line's JSON."""
        worst = {
            "name": self.worst_batch,
            "output": self.worst_output or None,
            "sqnr_db": finite(self.worst_db),
        }
        result: dict[str, Any] = {
            **self.difference.as_json(),
            "top1_percent": self.top1,
            "worst_batch": worst if self.worst_batch else None,
        }
        if self.slots[1]:
            result["slots"] = {"found": self.slots[0], "total": self.slots[1]}
        if self.undecided:
            result["undecided"] = self.undecided
        if self.rounded:
            result["rounded"] = self.rounded
        if self.layers is not None:
            result["layers"] = {
                "compared": self.layers.compared,
                "total": self.layers.total,
                "max_lsb": self.layers.max_lsb,
                "worst": self.layers.worst,
            }
        return result


Outputs = Mapping[str, tuple[torch.Tensor, torch.Tensor]]
"""(expected, actual) by name."""
Settle = Callable[[Outputs], tuple[Outputs, int]]
"""Returns the outputs to compare instead, and how many values were put back."""


class Comparison:
    """Compares outputs batch by batch; what it holds of one are the outputs.

    Args:
        judge: takes outputs apart.
        quantized: whether the file rounds, so that integers and the order of scores may differ.
    """

    def __init__(self, judge: Judge, *, quantized: bool = False) -> None:
        self._judge, self._quantized = judge, quantized
        self._undecided, self._rounded, self._lost = 0, 0, ""
        self._names: list[str] = []
        self._all: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._worst = ("", float("inf"), "")
        self._hits = self._rows = self._found = self._slots = 0
        self._blind: dict[str, bool] = {}

    def add(
        self,
        outputs: Outputs,
        inputs: Sequence[Any],
        batch: str,
        settle: Settle | None = None,
        settle_rounding: Settle | None = None,
    ) -> None:
        """Take the (expected, actual) outputs of one batch.

        Args:
            outputs: by name.
            inputs: the flat inputs that they were computed from.
            batch: what it is, in words.
            settle: puts back what the order of equal values explains, and counts it; asked where
                too many integers or slots differ.
            settle_rounding: puts back what is nothing but rounding, and counts it; asked where a
                file that does not round falls short of what float files reach.
        """
        judged = self._judge.take_apart(outputs, inputs)
        if settle is not None and self._is_short(judged):
            outputs, undecided = settle(outputs)
            self._undecided += undecided
            judged = self._judge.take_apart(outputs, inputs)
        found = _measured(judged)
        is_far = found is not None and found.sqnr_db < LOWEST_FLOAT_SQNR
        if settle_rounding is not None and not self._quantized and is_far:
            outputs, rounded = settle_rounding(outputs)
            self._rounded += rounded
            judged = self._judge.take_apart(outputs, inputs)
            found = _measured(judged)
        self._found, self._slots = self._found + judged.found, self._slots + judged.slots
        self._lost = self._lost or judged.lost
        self._names += [name for name, _, _ in judged.pairs]
        self._all += [(expected, actual) for _, expected, actual in judged.pairs]
        # A batch whose outputs are all zero counts in the ratio of all of them.
        if found is not None and found.sqnr_db < self._worst[1]:
            self._worst = (batch, found.sqnr_db, found.output)
        for name, (expected, actual) in outputs.items():
            self._look(name, expected)
            if expected.is_floating_point() and expected.dim() >= 2 and expected.shape[-1] > 1:
                self._hits += int((expected.argmax(-1) == actual.argmax(-1)).sum())
                self._rows += expected[..., 0].numel()

    def _is_short(self, judged: Judged) -> bool:
        share = LOWEST_SLOT_SHARE if self._quantized else LOWEST_EQUAL_SHARE
        if judged.found < share * judged.slots:
            return True
        integers = [
            (expected == actual)
            for _, expected, actual in judged.pairs
            if not expected.is_floating_point() and expected.numel()
        ]
        return not self._quantized and any(
            float(equal.double().mean()) < LOWEST_EQUAL_SHARE for equal in integers
        )

    def _look(self, name: str, expected: torch.Tensor) -> None:
        if expected.numel():
            nothing = not bool(expected.isfinite().any())
            self._blind[name] = nothing and self._blind.get(name, True)

    def agreement(self) -> Agreement:
        """Return how all batches agree, and which of them does least."""
        top1 = 100.0 * self._hits / self._rows if self._rows else None
        return Agreement(
            difference(self._all, self._names),
            top1,
            *self._worst,
            slots=(self._found, self._slots),
            lost=self._lost,
            undecided=self._undecided,
            rounded=self._rounded,
            blind=tuple(name for name, nothing in self._blind.items() if nothing),
        )


def _measured(judged: Judged) -> Difference | None:
    """Return how the parts differ; None where all are zero: then there is no ratio."""
    expectations = [expected for _, expected, _ in judged.pairs]
    floats = [expected for expected in expectations if expected.is_floating_point()]
    if not any(bool(expected.any()) for expected in floats or expectations):
        return None
    names = [name for name, _, _ in judged.pairs]
    return difference([(expected, actual) for _, expected, actual in judged.pairs], names)


def _inside(output: str) -> str:
    return f" in '{output}'" if output else ""
