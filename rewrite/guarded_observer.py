"""An observer of passes whose failures are its plugin's."""

from __future__ import annotations

from contextlib import AbstractContextManager

from rewrite.blame import blame
from rewrite.descriptors import PassObserver
from rewrite.passes import Outcome, Pass
from rewrite.program import Program

_HINT = "mend the observer, or leave its plugin out; the passes are not at fault"


class GuardedObserver(PassObserver):
    """Passes on what it is told, and names the observer when that raises.

    Raises:
        PluginError: from both methods.
    """

    def __init__(self, observer: PassObserver, source: str) -> None:
        self.observer, self.source = observer, source

    def before_pass(self, pass_: Pass, program: Program) -> None:
        """Tell the observer."""
        with self._blamed():
            self.observer.before_pass(pass_, program)

    def after_pass(self, pass_: Pass, program: Program, outcome: Outcome) -> None:
        """Tell the observer."""
        with self._blamed():
            self.observer.after_pass(pass_, program, outcome)

    def _blamed(self) -> AbstractContextManager[None]:
        return blame(f"observer '{self.observer.name}'", type(self.observer), self.source, _HINT)
