"""Something may take so long, and no longer."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class TooLongError(Exception):
    """No TimeoutError: that is an OSError, which whoever writes a file takes for one of its own."""


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Raise TooLongError after so many seconds."""

    def stop(*_: Any) -> None:
        raise TooLongError

    before: Callable[..., Any] | int | None = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
