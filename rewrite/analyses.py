"""Analyses: computed once, cached by program version, dropped unless a pass preserves them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rewrite.program import Program

T = TypeVar("T")


class AnalysisCache:
    """Results of analyses by name, valid for one version of one program.

    A pass works on a copy, so a result that outlives it refers to nodes by name.
    """

    def __init__(self) -> None:
        self._results: dict[str, tuple[int, Any]] = {}

    def get(self, name: str, program: Program, compute: Callable[[Program], T]) -> T:
        """Return the cached result, or compute it for the program as it is now."""
        cached = self._results.get(name)
        if cached is not None and cached[0] == program.version:
            result: T = cached[1]
            return result
        return self.put(name, program, compute(program))

    def put(self, name: str, program: Program, result: T) -> T:
        """Store a result that was computed otherwise, and return it."""
        self._results[name] = (program.version, result)
        return result

    def names(self) -> tuple[str, ...]:
        """Return the analyses that have a result."""
        return tuple(self._results)

    def after_pass(self, program: Program, preserved: tuple[str, ...]) -> None:
        """Keep what the pass preserves as valid for the new version; drop the rest."""
        self._results = {
            name: (program.version, result)
            for name, (_, result) in self._results.items()
            if name in preserved
        }
