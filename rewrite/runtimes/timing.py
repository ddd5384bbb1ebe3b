"""Time repeated calls, alike for every runtime."""

from __future__ import annotations

import time
from collections.abc import Callable

_WARM_UP = 3


def milliseconds(
    call: Callable[[], object], repeats: int = 30, seconds: float | None = None
) -> list[float]:
    """Return the duration of each call, after a warm-up; at least one is measured."""
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, not {repeats}")
    start = time.perf_counter()
    for _ in range(_WARM_UP):
        call()
        if seconds is not None and time.perf_counter() - start > seconds:
            break
    times: list[float] = []
    start = time.perf_counter()
    while len(times) < repeats:
        before = time.perf_counter()
        call()
        after = time.perf_counter()
        times.append((after - before) * 1e3)
        if seconds is not None and after - start > seconds:
            break
    return times
