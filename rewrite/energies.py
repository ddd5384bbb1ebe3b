"""Signal and noise of outputs, one by one: which of them differs most."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

_LEAST = 1e-300
"""To divide by, where there is nothing."""


@dataclass
class Energies:
    """Sums over the numbers of one output, of all draws of the inputs."""

    signal: float = 0.0
    """Of the squared reference."""
    noise: float = 0.0
    """Of the squared difference."""
    dot: float = 0.0
    """Of the products of reference and result."""
    result: float = 0.0
    """Of the squared result."""

    def add(self, expected: torch.Tensor, actual: torch.Tensor) -> None:
        """Take one pair of float64 tensors of the same shape, all finite."""
        expected, actual = expected.reshape(-1), actual.reshape(-1)
        error = expected - actual
        self.signal += float(expected.dot(expected))
        self.noise += float(error.dot(error))
        self.dot += float(expected.dot(actual))
        self.result += float(actual.dot(actual))

    @property
    def db(self) -> float:
        """The ratio of signal to noise, infinite without noise."""
        return decibel(self.signal, self.noise)

    @property
    def share(self) -> float:
        """The noise as a share of the signal."""
        return self.noise / max(self.signal, _LEAST)

    @property
    def cosine(self) -> float:
        """Of the angle between reference and result."""
        if self.signal == self.result == 0:
            return 1.0
        return self.dot / max(math.sqrt(self.signal * self.result), _LEAST)


def candidates(
    floats: Mapping[str, Energies], others: Mapping[str, Energies]
) -> dict[str, Energies]:
    """Return the outputs of which the worst one decides, by name.

    Numbers of another scale must not hide an output, and ids are no signal: each output of floats
    stands for itself, and integers count only where no output of floats does. One whose reference
    is all zero has no ratio. What differs in it is held against all the others, under the name ''.

    Args:
        floats: the outputs of floating-point numbers.
        others: those of integers and truth values.
    """
    found = {name: each for name, each in floats.items() if each.signal > 0}
    silent = [each for each in floats.values() if each.signal == 0 < each.noise]
    if not found:
        found = {name: each for name, each in others.items() if each.signal > 0}
        silent += [each for each in others.values() if each.signal == 0 < each.noise]
    return {**found, "": _sum([*found.values(), *silent])} if silent else found


def worst_of(found: Mapping[str, Energies]) -> tuple[str, float, float]:
    """Return the output with the smallest ratio, that ratio in dB, and the smallest cosine.

    The name is '' where there is nothing to choose from, or nothing differs.
    """
    name, worst = min(found.items(), key=lambda each: each[1].db, default=("", Energies()))
    cosine = min((each.cosine for each in found.values()), default=1.0)
    return name if len(found) > 1 and worst.noise > 0 else "", worst.db, cosine


def decibel(signal: float, noise: float) -> float:
    """Return 10·log10(signal/noise), infinite without noise."""
    if noise == 0:
        return float("inf")
    return float(10 * torch.log10(torch.tensor(max(signal, _LEAST) / noise, dtype=torch.float64)))


def _sum(parts: Iterable[Energies]) -> Energies:
    together = Energies()
    for each in parts:
        together.signal += each.signal
        together.noise += each.noise
        together.dot += each.dot
        together.result += each.result
    return together
