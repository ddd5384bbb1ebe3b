"""A written rule of a runtime, and the file that is held to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rewrite.lint.file import File

if TYPE_CHECKING:
    import onnx_ir as ir

Finding = tuple["ir.Node | None", str]
"""The node that breaks a rule, None for the whole file, and what to change."""


@dataclass(frozen=True)
class Rule:
    """One rule: its name, the sentence it states, where that is written, and its check."""

    name: str
    sentence: str
    source: str
    check: Callable[[File], Iterator[Finding]]


@dataclass(frozen=True)
class Violation:
    """A place where a file breaks a rule."""

    rule: str
    node: str
    message: str
    source: str
    line: str = ""
    """Of the user's source, '' where it is not known."""

    def __str__(self) -> str:
        return f"{self.node}: {self.message} [{self.rule}]"
