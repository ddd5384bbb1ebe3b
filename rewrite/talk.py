"""What the compiler says while it works; the command line decides how to show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rewrite.pipeline import PassReport


class Talk:
    """Listens to a compilation. This one keeps silent."""

    def step(self, text: str) -> None:
        """A stage begins: one short line."""

    def progress(self, label: str, done: int, total: int | None) -> None:
        """Part of a stage is done; `total` is None when nobody knows it."""

    def passed(self, report: PassReport) -> None:
        """A pass has run and has been checked."""

    def warn(self, text: str) -> None:
        """Something the user should know, that stops nothing."""


class Remembering(Talk):
    """Hands on what is said, and remembers the warnings."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self.warnings: list[str] = []

    def step(self, text: str) -> None:
        """Hand on a stage."""
        self._talk.step(text)

    def progress(self, label: str, done: int, total: int | None) -> None:
        """Hand on how far it is."""
        self._talk.progress(label, done, total)

    def passed(self, report: PassReport) -> None:
        """Hand on a pass."""
        self._talk.passed(report)

    def warn(self, text: str) -> None:
        """Hand on a warning, once."""
        if text not in self.warnings:
            self.warnings.append(text)
            self._talk.warn(text)
