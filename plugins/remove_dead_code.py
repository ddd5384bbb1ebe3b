"""Pass `remove-dead-code`."""

from __future__ import annotations

from dataclasses import dataclass

from rewrite import Context, Emitter, Outcome, Pass, Program


@dataclass(frozen=True)
class RemoveDeadCode(Pass):
    """Remove calls and weights whose results nobody reads."""

    name = "remove-dead-code"
    equivalence = "exact"

    def run(self, program: Program, context: Context) -> Outcome:
        """Walk backwards, so that a dead chain goes at once."""
        emit = Emitter(program)
        before = len(program.graph.nodes)
        for node in reversed(list(program.graph.nodes)):
            if not node._erased and not node.users and not _must_stay(node):
                emit.erase_dead(node)
        removed = before - len(program.graph.nodes)
        return Outcome(removed, nothing="" if removed else "every call is used")


def _must_stay(node: object) -> bool:
    return getattr(node, "op", "") in ("placeholder", "output") or bool(
        getattr(node, "is_impure", lambda: False)()
    )
