"""A race of candidates: those that are worse for sure drop out before all data were seen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

_LEAST_PARTS = 4
"""Parts of the data that every candidate is measured on."""
_SURE = 4.0
"""Standard errors that the mean relative difference to the best must lie above zero."""
_AS_GOOD = 0.02
"""Costs that differ by less than this share are not worth telling apart."""


class Race:
    """Costs of candidates, part of the data by part, until one is left.

    A candidate drops out once it costs more than the best by four standard errors of their
    relative differences (c - b)/(c + b), part by part: a part that is hard for one candidate is
    hard for all (Maron and Moore, *Hoeffding races*, 1994). A race is decided when what is left
    differs by less than 2 %.
    """

    def __init__(self, candidates: Iterable[str]) -> None:
        self._costs: dict[str, list[float]] = {name: [] for name in candidates}
        self.running = list(self._costs)
        """Candidates that are still to be measured; none once the race is decided."""
        self._leaders = self.running

    def add(self, costs: Mapping[str, float]) -> None:
        """Take what each candidate that is running costs on one more part; none is below zero."""
        if not self.running:
            return
        for name in self.running:
            self._costs[name].append(costs[name])
        best = self.best
        if len(self._costs[best]) < _LEAST_PARTS:
            return
        self.running = [n for n in self.running if n == best or not self._is_worse(n, best)]
        most = (1 + _AS_GOOD) * sum(self._costs[best])
        self._leaders = self.running
        if all(sum(self._costs[name]) <= most for name in self.running):
            self.running = []

    @property
    def best(self) -> str:
        """The candidate that costs least so far; of equals the first."""
        return min(self._leaders, key=lambda name: sum(self._costs[name]))

    def _is_worse(self, name: str, best: str) -> bool:
        pairs = zip(self._costs[name], self._costs[best], strict=True)
        differences = [(mine - its) / (mine + its) if mine + its else 0.0 for mine, its in pairs]
        count = len(differences)
        mean = sum(differences) / count
        spread = sum((d - mean) ** 2 for d in differences) / (count - 1)
        return mean > _SURE * math.sqrt(spread / count)
