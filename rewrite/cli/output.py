"""Data on stdout: JSON objects and tables."""

from __future__ import annotations

import io
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from rewrite.errors import RewriteError, printable

_UNSEEN = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What JSON leaves to itself, and a terminal does not show."""
_UNLIMITED = 4096


class OutputError(RewriteError):
    """Standard output takes no more (exit code 1)."""


def say(text: str = "", *, err: bool = False, plain: bool = True) -> None:
    """Print lines on stdout, or talk on stderr, with control characters spelled out.

    Args:
        text: without the last line's end.
        err: talk; if nobody can hear it, the work goes on.
        plain: leave no control characters; our own colours are some.

    Raises:
        OutputError: when the disk behind stdout is full.
    """
    try:
        click.echo(printable(text) if plain else text, err=err)
    except BrokenPipeError:
        if not err:
            raise
    except OSError as error:
        if not err:
            raise OutputError(f"cannot write to stdout: {error.strerror}") from error


def show_json(value: Any) -> None:
    """Print one JSON value; what JSON cannot say becomes null or text."""
    text = json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    say(_UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def show_table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print aligned columns; lines are wrapped on a terminal only."""
    from rich.console import Console
    from rich.table import Table

    terminal = sys.stdout.isatty()
    console = Console(
        file=io.StringIO(),
        width=None if terminal else _UNLIMITED,
        force_terminal=terminal,
        highlight=False,
        markup=False,
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in heading:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(printable(cell) for cell in row))
    with console.capture() as capture:
        console.print(table)
    say("\n".join(line.rstrip() for line in capture.get().splitlines()), plain=not terminal)


def size_text(count: int) -> str:
    """Return a number of bytes for people."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} B"


def db_text(value: float) -> str:
    """Return an SQNR for people."""
    return f"{value:.1f} dB" if math.isfinite(value) else "exact"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, bool, int)):
        return value
    return str(value)
