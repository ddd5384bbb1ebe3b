"""One choice for each item: the least noise that fits into so many bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_UNITS = 1 << 16
"""Parts that the room is divided into where it has more bytes than that."""


@dataclass(frozen=True)
class Point:
    """One way to store an item."""

    bytes: int
    noise: float
    """Energy of the error that it alone puts on the outputs."""


def least_noise(items: Sequence[Sequence[Point]], room: int) -> list[int] | None:
    """Return the index of a point for each item, of least total noise in `room` bytes.

    This is the multiple-choice knapsack problem that HAWQ-V3 gives to an integer program (Yao et
    al., 2021, arXiv:2011.10680, eq. (9)). Dynamic programming over the room solves it without a
    solver, and exactly: a Lagrange multiplier, as in HAWQ-V2, reaches only what lies on the convex
    hull of bytes and noise, and leaves a gap before the first layer that no longer fits.

    Room beyond the smallest points is counted in 65536 units, and what a point takes is rounded up,
    so that the result always fits. It is optimal where that room has at most 65536 bytes; else its
    noise is at most that of the best choice for a room smaller by one unit for each item.

    Returns:
        None when not even the smallest points fit. Of equal noise the fewest bytes are taken.
    """
    smallest = [min(point.bytes for point in points) for points in items]
    slack = room - sum(smallest)
    if slack < 0:
        return None
    # What all items could use at most bounds the table too: a wide room is a small one.
    most = sum(max(point.bytes for point in points) for points in items) - sum(smallest)
    unit = max(1, -(-min(slack, most) // _UNITS))
    costs_of = [
        [-(-(point.bytes - base) // unit) for point in points]
        for points, base in zip(items, smallest, strict=True)
    ]
    cells = min(slack // unit, sum(map(max, costs_of))) + 1
    least, taken = np.zeros(cells), []
    for points, costs in zip(items, costs_of, strict=True):
        least, chosen = _with_item(least, costs, [point.noise for point in points])
        taken.append((chosen, costs))
    left = int(least.argmin())
    picked = []
    for chosen, costs in reversed(taken):
        picked.append(int(chosen[left]))
        left -= costs[picked[-1]]
    return picked[::-1]


def least_room(items: Sequence[Sequence[Point]], noise: float) -> int | None:
    """Return about how many bytes it takes to have at most so much noise; None for no number."""
    low = sum(min(point.bytes for point in points) for points in items)
    high = sum(max(point.bytes for point in points) for points in items)
    if _noise(items, high) > noise:
        return None
    tolerance = (high - low) // 256
    while high - low > tolerance + 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _noise(items, middle) <= noise else (middle, high)
    return high


def _with_item(
    least: np.ndarray, costs: Sequence[int], noises: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the least noise for each room once one more item is in, and the point chosen there."""
    best = np.full_like(least, np.inf)
    chosen = np.zeros(len(least), dtype=np.int16)
    for index in sorted(range(len(costs)), key=lambda i: (costs[i], noises[i])):
        cost = costs[index]
        if cost >= len(least):
            break
        offered = least[: len(least) - cost] + noises[index]
        better = offered < best[cost:]
        best[cost:][better] = offered[better]
        chosen[cost:][better] = index
    return best, chosen


def _noise(items: Sequence[Sequence[Point]], room: int) -> float:
    picked = least_noise(items, room)
    if picked is None:
        return float("inf")
    return sum(points[index].noise for points, index in zip(items, picked, strict=True))
