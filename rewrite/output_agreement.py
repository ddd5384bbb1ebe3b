"""How far the outputs of a file are from what they should be, and how far they may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rewrite.equivalence import Difference, difference, finite

LOWEST_QUANTIZED_SQNR = 20.0
"""Against the simulated program, in dB: flips of one step spread through deep networks."""
LOWEST_LOSSY_SQNR = 10.0
"""Of a quantized file against the eager model, in dB: the passes' own loss is part of it."""
LOWEST_HALF_SQNR = 40.0
"""In dB, with float16: weights are rounded to 11 bits, and runtimes round at other places."""
LOWEST_FLOAT_SQNR = 60.0
"""In dB, for a file without quantized tensors."""


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
    layers: LayerReport | None = None

    @property
    def lowest_db(self) -> float:
        """The SQNR that decides: no batch may hide behind the large values of another one."""
        return min(self.difference.sqnr_db, self.worst_db)

    @property
    def where(self) -> str:
        """What that SQNR was measured on, to go behind it in a sentence."""
        decides = self.worst_batch and self.worst_db <= self.difference.sqnr_db
        return f" on {self.worst_batch}" if decides else ""

    def as_json(self) -> dict[str, Any]:
        """Return the entry `agreement` of the command line's JSON."""
        worst = {"name": self.worst_batch, "sqnr_db": finite(self.worst_db)}
        result: dict[str, Any] = {
            **self.difference.as_json(),
            "top1_percent": self.top1,
            "worst_batch": worst if self.worst_batch else None,
        }
        if self.layers is not None:
            result["layers"] = {
                "compared": self.layers.compared,
                "total": self.layers.total,
                "max_lsb": self.layers.max_lsb,
                "worst": self.layers.worst,
            }
        return result


class Comparison:
    """Compares outputs batch by batch; what it holds of one are the outputs."""

    def __init__(self) -> None:
        self._all: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._worst = ("", float("inf"))
        self._batches = self._hits = self._rows = 0

    def add(self, pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Take the (expected, actual) outputs of one batch: the example inputs come first."""
        name = f"calibration batch {self._batches}" if self._batches else "the example inputs"
        self._batches += 1
        self._all += pairs
        # A batch whose outputs are all zero has no ratio; it counts in that of all of them.
        if any(bool(expected.any()) for expected, _ in pairs):
            found = difference(pairs).sqnr_db
            if found < self._worst[1]:
                self._worst = (name, found)
        for expected, actual in pairs:
            if expected.is_floating_point() and expected.dim() >= 2 and expected.shape[-1] > 1:
                self._hits += int((expected.argmax(-1) == actual.argmax(-1)).sum())
                self._rows += expected[..., 0].numel()

    def agreement(self) -> Agreement:
        """Return how all batches agree, and which of them does least."""
        top1 = 100.0 * self._hits / self._rows if self._rows else None
        return Agreement(difference(self._all), top1, *self._worst)
