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
    """Parse a comma-separated list of passes; blanks are allowed between its parts.

    Raises:
        UsageError: with a caret under the character that does not fit.
    """
    specs: list[PassSpec] = []
    position = _skip_blanks(text, 0)
    while position < len(text) or specs:
        name = _NAME.match(text, position)
        if name is None:
            raise _error(text, position, "a pass name")
        position = _skip_blanks(text, name.end())
        options: dict[str, str] = {}
        if text[position : position + 1] == "{":
            end = text.find("}", position)
            if end < 0:
                raise _error(text, position, "a closing '}'")
            options = _parse_options(text, position + 1, end)
            position = _skip_blanks(text, end + 1)
        specs.append(PassSpec(name.group(), options))
        if position == len(text):
            break
        if text[position] != ",":
            raise _error(text, position, "','")
        position = _skip_blanks(text, position + 1)
    return specs


def _parse_options(text: str, start: int, end: int) -> dict[str, str]:
    options: dict[str, str] = {}
    if not text[start:end].strip():
        return options
    position = start
    for item in text[start:end].split(","):
        key, equals, value = (part.strip() for part in item.partition("="))
        at = _skip_blanks(text, position)
        if not equals or not _NAME.fullmatch(key):
            raise _error(text, at, "option=value")
        if key in options:
            raise _error(text, at, f"option '{key}' only once")
        options[key] = value
        position += len(item) + 1
    return options


def _skip_blanks(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def _error(text: str, position: int, expected: str) -> UsageError:
    return UsageError(
        f"cannot read the pass list: expected {expected} at column {position + 1}",
        where=f"{text}\n      {' ' * position}^",
        hint="write it like: fold-batch-norm,calibrate{method=percentile}",
    )
