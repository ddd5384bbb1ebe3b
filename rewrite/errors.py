"""Errors people see: what happened, where in their source, and a hint that mends it."""

from __future__ import annotations

import difflib
import os
import re
import traceback
from collections.abc import Iterable
from pathlib import Path

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Characters that move a cursor, colour or turn text, ring a bell, or that no encoding has."""


class Terminated(BaseException):
    """SIGTERM arrived: everything unwinds and cleans up behind itself."""


STOPS = (KeyboardInterrupt, Terminated)
"""What somebody outside wants an end by; whatever else a user's own code raises is its failure."""


class RewriteError(Exception):
    """A failure to tell the user about, in three lines and without a traceback."""

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        lines = [_indented(self.what)]
        if self.where:
            lines.append(f"  at: {_indented(self.where)}")
        if self.hint:
            lines.append(f"  hint: {one_line(self.hint)}")
        return "\n".join(lines)


class CheckError(RewriteError):
    """A check failed, so nothing was written (exit code 1)."""


class CaptureError(RewriteError):
    """The model could not be captured as a graph (exit code 1)."""


class UsageError(RewriteError):
    """The command, an option or a file it names is wrong (exit code 2)."""

    exit_code = 2


class PluginError(RewriteError):
    """A plugin that was asked for could not load, or broke its contract (exit code 3)."""

    exit_code = 3


def printable(text: str) -> str:
    """Return text with its control characters spelled out, but for tabs and ends of lines."""
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)


def one_line(text: str) -> str:
    """Return text with all its control characters spelled out."""
    return printable(text).replace("\n", "\\n")


def _indented(text: str) -> str:
    """Return text of which only indented lines go on: a name must not look like a line of ours."""
    return re.sub(r"\n(?!  )", r"\\n", printable(text))


def unknown(kind: str, name: str, known: Iterable[str], *, where: str | None = None) -> UsageError:
    """Return the error for a name nobody registered, with the nearest one as the hint."""
    names = sorted(known)
    near = nearest(name, names)
    hint = f"did you mean '{near}'?" if near else f"known: {', '.join(names) or 'none'}"
    return UsageError(f"unknown {kind} '{name}'", where=where, hint=hint)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that `name` was probably meant to be."""
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)), None)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message that says something."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")


def raised_at(error: BaseException, file: str | None = None) -> str | None:
    """Return `file:line: code` of where an error comes from, in `file` when it passed there."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f"{error.filename}:{error.lineno}: {(error.text or '').strip()}"
    frames = traceback.extract_tb(error.__traceback__)
    own = f"{Path(__file__).parent}{os.sep}"
    real = [f for f in frames if not f.filename.startswith("<") and "importlib" not in f.filename]
    there = [f for f in real if f.filename == file] or [f for f in real if own not in f.filename]
    if not there:
        return file
    return f"{there[-1].filename}:{there[-1].lineno}: {there[-1].line}"
