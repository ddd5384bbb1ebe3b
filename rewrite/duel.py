"""Two files against each other: which one a runtime runs faster, noise set aside."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from rewrite.runtimes import Array, LoadedModel

_SECONDS = 3.0
"""What the turns of one duel may take together."""
_RUNS = 3
"""Of a file in a turn, all but the last uncounted: threads of the other file may still spin."""
_TURNS = (12, 60)
_GAIN = 0.98
"""Smaller gains are not told from noise."""
_AGREEING = 0.75
"""Share of the turns that must have the same winner."""


@dataclass(frozen=True)
class Duel:
    """Milliseconds of two files, one entry for each turn."""

    champion: tuple[float, ...]
    challenger: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Time of the challenger over that of the champion: below 1 it is faster."""
        return statistics.median(self.challenger) / statistics.median(self.champion)

    @property
    def is_won(self) -> bool:
        """Whether the challenger is faster by more than noise makes it."""
        turns = zip(self.champion, self.challenger, strict=True)
        won = sum(challenger < champion for champion, challenger in turns)
        return self.ratio < _GAIN and won >= _AGREEING * len(self.champion)


def fight(champion: LoadedModel, challenger: LoadedModel, feeds: Mapping[str, Array]) -> Duel:
    """Time two files in turns, so that both meet the same load of the machine.

    Args:
        champion: the file to beat.
        challenger: the other one.
        feeds: inputs by name, the same for both.
    """
    pace = _RUNS * sum(min(model.latency(feeds, 2)) for model in (champion, challenger))
    low, high = _TURNS
    turns = min(max(int(1e3 * _SECONDS / max(pace, 1e-3)), low), high)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(turns):
        for model, found in zip((champion, challenger), times, strict=True):
            found += model.latency(feeds, 1, seconds=0)
    return Duel(tuple(times[0]), tuple(times[1]))
