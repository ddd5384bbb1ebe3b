"""What another version of a runtime changes for a file: kernels, outputs and time."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from rewrite.duel import Duel, fight
from rewrite.equivalence import Difference, difference
from rewrite.kernel_counts import int8_summary
from rewrite.runtimes import Array, KernelVerdict, RuntimeFailure
from rewrite.runtimes.elsewhere import Elsewhere, LoadedElsewhere


@dataclass
class OnVersion:
    """What one version made of a file."""

    version: str
    problem: str = ""
    """Why it does not run the file, with a hint behind it; empty if it does."""
    kernels: list[KernelVerdict] = field(default_factory=list)
    kinds: dict[str, int] = field(default_factory=dict)
    """How often each kernel is in the graph that runs."""

    def as_json(self) -> dict[str, Any]:
        """Return the entry of a version in the command line's JSON."""
        return {
            "version": self.version,
            "problem": self.problem or None,
            "int8": int8_summary(self.kernels),
            "kernels": self.kinds,
        }


@dataclass
class OnTwoVersions:
    """A file on a version and on another one."""

    path: Path
    before: OnVersion
    after: OnVersion
    outputs: Difference | None = None
    """Of the other version from the first, as users run both; None where one does not run it."""
    duel: Duel | None = None
    """The other version is the challenger; None where one does not run the file."""

    @property
    def runs(self) -> bool:
        """Whether both versions run it."""
        return not (self.before.problem or self.after.problem)

    def changed(self) -> list[tuple[KernelVerdict, KernelVerdict]]:
        """Return the layers that another kernel computes, or one that fails now."""
        pairs = zip(self.before.kernels, self.after.kernels, strict=True)
        return [(a, b) for a, b in pairs if (a.kernel, a.fired) != (b.kernel, b.fired)]

    def recounted(self) -> dict[str, tuple[int, int]]:
        """Return the kernels that the graphs do not hold equally often, with both numbers."""
        counts = self.before.kinds, self.after.kinds
        names = sorted(set(counts[0]) | set(counts[1])) if self.runs else []
        found = {name: (counts[0].get(name, 0), counts[1].get(name, 0)) for name in names}
        return {name: both for name, both in found.items() if both[0] != both[1]}


def compare_versions(
    path: Path, before: Elsewhere, after: Elsewhere, feeds: Mapping[str, Array], threads: int = 0
) -> OnTwoVersions:
    """Run a file on two versions of a runtime, each in a process of its own, and time it in turns.

    Args:
        path: of an ONNX file.
        before: the version that is known.
        after: the other one.
        feeds: inputs by name.
        threads: of both; 0 leaves the number to them.
    """
    found = OnTwoVersions(path, OnVersion(before.version), OnVersion(after.version))
    results: list[dict[str, Array]] = []
    # One after the other: one that ends over a file must not take the answer of the other along.
    for runtime, side in ((before, found.before), (after, found.after)):
        try:
            with runtime.loaded(path, threads) as loaded:
                results.append(_look(loaded, feeds, side))
        except RuntimeFailure as failure:
            side.problem = str(failure)
    if not found.runs:
        return found
    found.outputs = _differ(*results)
    with before.loaded(path, threads) as champion, after.loaded(path, threads) as challenger:
        found.duel = fight(champion, challenger, feeds)
    return found


def ratios(duel: Duel) -> tuple[float, float, float]:
    """Return the median of the challenger's time over the champion's, and the spread of turns.

    That is from the first to the last tenth of them.
    """
    turns = zip(duel.champion, duel.challenger, strict=True)
    found = [challenger / champion for champion, challenger in turns]
    low, *_, high = statistics.quantiles(found, n=10)
    return statistics.median(found), low, high


def _look(loaded: LoadedElsewhere, feeds: Mapping[str, Array], side: OnVersion) -> dict[str, Array]:
    results = loaded.run_usual(feeds)
    side.kernels, side.kinds = loaded.kernels(), loaded.kinds()
    return results


def _differ(before: Mapping[str, Array], after: Mapping[str, Array]) -> Difference:
    """Measure outputs; one of another shape is as far away as can be."""
    for name, value in before.items():
        if value.shape != after[name].shape:
            return Difference(float("inf"), float("inf"), float("-inf"), 0.0, name)
    pairs = [
        (torch.from_numpy(value), torch.from_numpy(after[name])) for name, value in before.items()
    ]
    return difference(pairs, list(before))
