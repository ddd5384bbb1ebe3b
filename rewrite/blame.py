"""Telling whose fault an exception is, where the compiler calls something of a plugin's."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Iterator
from typing import Any

from rewrite.errors import STOPS, PluginError, RewriteError, first_line, raised_at


@contextlib.contextmanager
def blame(what: str, thing: Any, source: str, hint: str) -> Iterator[None]:
    """Turn what is raised inside into an error of a plugin.

    Args:
        what: names the thing, such as `observer 'log'`, as the start of the error.
        thing: a class of a plugin's; the error shows the line of its file.
        source: the distribution or file it is from; empty if nobody knows.
        hint: what to do about it.

    Raises:
        PluginError: for any exception but those that are told to people already.
    """
    try:
        yield
    except (RewriteError, *STOPS):
        raise
    except BaseException as error:
        raise PluginError(
            f"{named(what, source)} failed: {type(error).__name__}: {first_line(error)}",
            where=raised_at(error, getattr(sys.modules.get(thing.__module__), "__file__", None)),
            hint=hint,
        ) from error


def named(what: str, source: str) -> str:
    """Return the thing with where it is from, if that is known."""
    return f"{what} (from {source})" if source else what


def defined_at(function: Any) -> str | None:
    """Return the file and line of a function."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else None
