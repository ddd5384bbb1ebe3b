"""Talk on stderr: a live progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from rewrite.cli.failures import Terminated
from rewrite.talk import Talk

if TYPE_CHECKING:
    from rich.progress import Progress

    from rewrite.pipeline import PassReport


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
    notes = f"  ({'; '.join(outcome.notes)})" if outcome.notes else ""
    return "  ".join(parts) + notes


class PlainTalk(Talk):
    """One line per stage and per pass."""

    def step(self, text: str) -> None:
        """Print the stage."""
        click.echo(text, err=True)

    def passed(self, report: PassReport) -> None:
        """Print the pass."""
        click.echo(f"  {pass_line(report)}", err=True)

    def warn(self, text: str) -> None:
        """Print the warning."""
        click.echo(f"warning: {text}", err=True)


class LiveTalk(Talk):
    """Stages and progress in one live line, passes and warnings above it."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def step(self, text: str) -> None:
        """Show the stage in the live line."""
        self._progress.reset(self._task, total=None, description=text)

    def progress(self, label: str, done: int, total: int | None) -> None:
        """Move the bar."""
        self._progress.update(self._task, description=label, completed=done, total=total)

    def passed(self, report: PassReport) -> None:
        """Print the pass above the live line."""
        colour = {"exact": "green", "approximate": "yellow"}.get(report.pass_.equivalence, "cyan")
        self._print(f"  {pass_line(report)}", colour)

    def warn(self, text: str) -> None:
        """Print the warning above the live line."""
        self._print(f"warning: {text}", "yellow")

    def _print(self, text: str, style: str) -> None:
        from rich.text import Text

        self._progress.console.print(Text(text, style=style), soft_wrap=True)


@contextlib.contextmanager
def _talk(quiet: bool) -> Iterator[Talk]:
    if quiet:
        yield Talk()
    elif sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with _live() as progress:
            yield LiveTalk(progress)
    else:
        yield PlainTalk()


def _live() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
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
