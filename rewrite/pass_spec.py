"""The command-line form of a list of passes: `fold-batch-norm,quantize{bits=8,per-channel=no}`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from rewrite.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class PassSpec:
    """One requested pass: its name and its options as text."""

    name: str
    options: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        if not self.options:
            return self.name
        return f"{self.name}{{{','.join(f'{k}={v}' for k, v in self.options.items())}}}"


def parse_passes(text: str) -> list[PassSpec]:
    """Parse a comma-separated list of passes.

    Raises:
        UsageError: with a caret under the character that does not fit.
    """
    specs: list[PassSpec] = []
    position = 0
    while position < len(text):
        name = _NAME.match(text, position)
        if name is None:
            raise _error(text, position, "a pass name")
        position = name.end()
        options: dict[str, str] = {}
        if text[position : position + 1] == "{":
            end = text.find("}", position)
            if end < 0:
                raise _error(text, position, "a closing '}'")
            options = _parse_options(text, position + 1, end)
            position = end + 1
        specs.append(PassSpec(name.group(), options))
        if position == len(text):
            break
        if text[position] != ",":
            raise _error(text, position, "','")
        position += 1
        if position == len(text):
            raise _error(text, position, "a pass name")
    return specs


def _parse_options(text: str, start: int, end: int) -> dict[str, str]:
    options: dict[str, str] = {}
    position = start
    for item in text[start:end].split(","):
        key, equals, value = item.partition("=")
        if not equals or not _NAME.fullmatch(key.strip()):
            raise _error(text, position, "option=value")
        options[key.strip()] = value.strip()
        position += len(item) + 1
    return options


def _error(text: str, position: int, expected: str) -> UsageError:
    return UsageError(
        f"cannot read the pass list: expected {expected} at column {position + 1}",
        where=f"{text}\n      {' ' * position}^",
        hint="write it like: fold-batch-norm,calibrate{method=percentile}",
    )
