"""Files that people name: what is no file is told, and none has two parts to play."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

from rewrite.errors import UsageError, first_line

_SPECIAL = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def special(path: Path) -> str:
    """Return what lies at a path that is neither file nor folder; '' where nothing does, too.

    Opening one of these waits for whoever is at its other end, or never comes to an end.
    """
    try:
        return _SPECIAL.get(stat.S_IFMT(path.stat().st_mode), "")
    except (OSError, ValueError):
        return ""


def require_plain(path: Path) -> None:
    """Make sure that a path is no FIFO, socket or device.

    Raises:
        UsageError: naming what it is.
    """
    found = special(path)
    if found:
        raise UsageError(f"'{path}' is {found}, not a file", hint="give the path of a file")


def read_text(path: Path, what: str) -> str:
    """Return the text of a file.

    Raises:
        UsageError: for one that is no file, cannot be read, or is no text.
    """
    require_plain(path)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else first_line(error)
        raise UsageError(f"cannot read {what}: {reason}", where=str(path)) from None


def split_model(text: str) -> tuple[str, str]:
    """Return path and factory of `path/model.py` or `path/model.py:factory`."""
    head, separator, tail = text.rpartition(":")
    if separator and tail.isidentifier() and head.endswith(".py"):
        return head, tail
    return text, "model"


def check_distinct(files: Mapping[str, Path | None]) -> None:
    """Make sure that no two files of one command are the same.

    Args:
        files: by what they are to the command, those that it writes first.

    Raises:
        UsageError: for two names of one file, through links and by another case, too.
    """
    given = [(what, path) for what, path in files.items() if path is not None]
    for (what, path), (other, taken) in combinations(given, 2):
        if _is_same(path, taken):
            raise UsageError(
                f"{what} and {other} are the same file: '{path}'"
                + (f" and '{taken}'" if str(path) != str(taken) else ""),
                hint="give each a file of its own",
            )


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except (OSError, ValueError):
        # One is still to be written: who knows whether its folder tells cases apart.
        return _spelled(path) == _spelled(other)


def _spelled(path: Path) -> str:
    try:
        return str(path.resolve()).casefold()
    except (OSError, RuntimeError, ValueError):  # a link in a circle
        return str(path.absolute()).casefold()
