"""Talk on stderr: a live progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import textwrap
import threading
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rewrite.cli.output import say
from rewrite.errors import Terminated, printable
from rewrite.talk import Talk

if TYPE_CHECKING:
    from rich.progress import Progress

    from rewrite.pipeline import PassReport

_WIDTH = 96
"""Columns that a list of names may take."""


@contextlib.contextmanager
def working(*, quiet: bool = False, verbose: bool = False) -> Iterator[Talk]:
    """Let the compiler work: whatever it and the user's code print goes to stderr."""
    with (
        contextlib.redirect_stdout(sys.stderr),
        _noise(shown=verbose),
        _termination(),
        _talk(quiet) as talk,
    ):
        yield talk


def pass_line(report: PassReport) -> str:
    """Return the line about one pass: what it did, how it was checked, how long it took."""
    done, outcome = report.pass_, report.outcome
    difference = report.difference
    unmeasured = "unchecked" if outcome.rewrites else "unchanged"
    parts = [
        f"{done.name:<20} {done.equivalence:<11}",
        f"{outcome.rewrites:>4} {'rewrite' if outcome.rewrites == 1 else 'rewrites'}".ljust(14),
        f"{len(outcome.rejected):>3} declined",
        f"error {difference.relative:.1e}" if difference is not None else f"{unmeasured:<13}",
        f"{report.seconds:6.2f} s",
    ]
    notes = f"  ({'; '.join(outcome.remarks)})" if outcome.remarks else ""
    return "  ".join(parts) + notes


class Console(Talk):
    """Says what is done; passes that found nothing to do share one line."""

    def __init__(self) -> None:
        self._idle: list[str] = []

    def step(self, text: str) -> None:
        """Say that a stage begins."""
        self.flush()
        self.show_step(text)

    def passed(self, report: PassReport) -> None:
        """Say what a pass did, or keep it for the line of those that did nothing."""
        if report.outcome.nothing and not report.outcome.notes:
            self._idle.append(report.pass_.name)
            return
        self.flush()
        colour = {"exact": "green", "approximate": "yellow"}.get(report.pass_.equivalence, "cyan")
        self.show(f"  {pass_line(report)}", colour)

    def warn(self, text: str) -> None:
        """Say something that stops nothing."""
        self.flush()
        self.show(f"warning: {text}", "yellow")

    def flush(self) -> None:
        """Name the passes that found nothing, if there are any."""
        if self._idle:
            text = f"  nothing to do: {', '.join(self._idle)}"
            self.show("\n".join(textwrap.wrap(text, _WIDTH, subsequent_indent="    ")), "green")
            self._idle.clear()

    def show_step(self, text: str) -> None:
        """Show a stage."""
        raise NotImplementedError

    def show(self, text: str, colour: str) -> None:
        """Show a line."""
        raise NotImplementedError


class PlainTalk(Console):
    """One line per stage and per pass."""

    def show_step(self, text: str) -> None:
        """Print the stage."""
        say(text, err=True)

    def show(self, text: str, colour: str) -> None:
        """Print the line."""
        say(text, err=True)


class LiveTalk(Console):
    """Stages and progress in one live line, passes and warnings above it."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def show_step(self, text: str) -> None:
        """Show the stage in the live line."""
        self._progress.reset(self._task, total=None, description=printable(text))

    def progress(self, label: str, done: int, total: int | None) -> None:
        """Move the bar."""
        self._progress.update(self._task, description=printable(label), completed=done, total=total)

    def show(self, text: str, colour: str) -> None:
        """Print the line above the live one."""
        from rich.text import Text

        self._progress.console.print(Text(printable(text), style=colour), soft_wrap=True)


@contextlib.contextmanager
def _talk(quiet: bool) -> Iterator[Talk]:
    if quiet:
        yield Talk()
    elif sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with _live() as progress:
            yield from _flushed(LiveTalk(progress))
    else:
        yield from _flushed(PlainTalk())


def _flushed(talk: Console) -> Iterator[Console]:
    try:
        yield talk
    finally:
        talk.flush()


def _live() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        console=Console(file=sys.stderr),
        transient=True,
    )


@contextlib.contextmanager
def _noise(*, shown: bool) -> Iterator[None]:
    """Keep the warnings and log lines of the libraries off the terminal."""
    if shown:
        yield
        return
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _termination() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that scratch files are removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
