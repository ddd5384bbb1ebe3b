"""Data on stdout: JSON objects and tables."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

_UNLIMITED = 4096


def show_json(value: Any) -> None:
    """Print one JSON value; what JSON cannot say becomes null or text."""
    click.echo(json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False))


def show_table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print aligned columns; lines are wrapped on a terminal only."""
    from rich.console import Console
    from rich.table import Table

    terminal = sys.stdout.isatty()
    console = Console(
        file=sys.stdout,
        width=None if terminal else _UNLIMITED,
        force_terminal=terminal,
        highlight=False,
        markup=False,
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in heading:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    with console.capture() as capture:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


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
