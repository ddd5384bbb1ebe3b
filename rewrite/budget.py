"""Budgets: how good the outputs of a model must be, and how many bytes its weights may take."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from rewrite.errors import UsageError
from rewrite.request import Request

_PART = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*([a-z]*)", re.IGNORECASE)
_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30}
_HINT = "35dB, 12MB or 0.3x (of the float weights); quality and size together: 35dB,12MB"


@dataclass(frozen=True)
class Budget:
    """What a model may cost; at least one of the two is given."""

    db: float | None = None
    """Smallest SQNR of the outputs against the float program, in dB."""
    bytes: int | None = None
    """Most bytes that the weights may take in the file."""
    share: float | None = None
    """The same, as a share of what the float weights take."""

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read `35`, `35dB`, `12MB`, `0.3x`, or one of quality and one of size, as `35dB,12MB`.

        Raises:
            UsageError: for anything else.
        """
        given: dict[str, Any] = {}
        for part in text.split(","):
            key, value = _read(part.strip(), text)
            is_size = key != "db"
            if key in given or (is_size and {"bytes", "share"} & set(given)):
                raise UsageError(f"'{text}' says the same thing twice", hint=_HINT)
            given[key] = value
        return cls(**given)

    @property
    def has_size(self) -> bool:
        """Whether it limits what the weights take."""
        return self.bytes is not None or self.share is not None

    def limit(self, float_bytes: int) -> int | None:
        """Return the most bytes that the weights may take, given what they take in float."""
        return int(self.share * float_bytes) if self.share is not None else self.bytes

    def __str__(self) -> str:
        """Return the budget for people."""
        db = [] if self.db is None else [f"{self.db:g} dB"]
        size = [] if self.bytes is None else [show_bytes(self.bytes)]
        share = [] if self.share is None else [f"{self.share:g} of the float weights"]
        return " and ".join([*db, *size, *share])


@dataclass(frozen=True)
class Change:
    """One layer that got another precision, and what is expected once it and those before have."""

    layer: str
    before: str
    after: str
    """Precisions, such as `w8a8` or `float`."""
    bytes_before: int
    bytes_after: int
    cost_db: float
    """SQNR of the outputs when this layer alone has the lower of the two precisions."""
    expected_db: float
    """SQNR of the outputs."""
    expected_bytes: int
    """Of all weights."""

    def as_json(self) -> dict[str, Any]:
        """Return the entry of `changes` in the command line's JSON; dB are null without loss."""
        return {
            "layer": self.layer,
            "before": self.before,
            "after": self.after,
            "bytes_before": self.bytes_before,
            "bytes_after": self.bytes_after,
            "cost_db": finite(self.cost_db),
            "expected_db": finite(self.expected_db),
            "expected_bytes": self.expected_bytes,
        }


@dataclass(frozen=True)
class Assignment:
    """A request whose overrides meet a budget, and how they came about."""

    request: Request
    overrides: tuple[str, ...]
    """Those that were added, in order."""
    changes: tuple[Change, ...]
    start_db: float
    reached_db: float
    """Of the outputs, everything quantized together."""
    start_bytes: int
    reached_bytes: int
    """Of all weights."""

    def as_json(self) -> dict[str, Any]:
        """Return the entry `budget` of the command line's JSON."""
        return {
            "start_db": finite(self.start_db),
            "reached_db": finite(self.reached_db),
            "start_bytes": self.start_bytes,
            "reached_bytes": self.reached_bytes,
            "overrides": list(self.overrides),
            "changes": [change.as_json() for change in self.changes],
        }


def show_bytes(count: int) -> str:
    """Return a number of bytes for people, to four digits: budgets are met by little."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= scale:
            return f"{count / scale:.4g} {unit}"
    return f"{count} B"


def finite(value: float) -> float | None:
    """Return a number, None for an infinite one."""
    return value if math.isfinite(value) else None


def _read(part: str, text: str) -> tuple[str, float]:
    found = _PART.fullmatch(part)
    if found is None:
        raise UsageError(f"'{text}' is no budget", hint=_HINT)
    value, unit = float(found[1]), found[2].lower()
    if unit in ("", "db"):
        return "db", value
    if unit == "x":
        return "share", value
    if unit not in _UNITS:
        raise UsageError(f"'{text}' is no budget: '{found[2]}' is no unit", hint=_HINT)
    return "bytes", int(value * _UNITS[unit])
