"""Patterns that name layers: by module, weight or call, or as `op:KIND` by what they compute."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping

from torch import fx

from rewrite.errors import nearest, unknown
from rewrite.program import Program
from rewrite.provenance import module_path
from rewrite.quantization.kinds import KINDS, kind

_OPERATOR = "op:"
_WILD = re.compile(r"[*?[]")


def matches(node: fx.Node, pattern: str) -> bool:
    """Tell whether a pattern fits the module, a weight or the name of a call, or its kind."""
    if pattern.startswith(_OPERATOR):
        return fnmatch.fnmatch(kind(node), pattern.removeprefix(_OPERATOR))
    return any(fnmatch.fnmatch(name, pattern) for name in _names(node))


class Names:
    """The calls that a pattern fits, found without a look at each of them where it is a name."""

    def __init__(self, calls: Iterable[fx.Node]) -> None:
        self._calls = list(calls)
        self._named: dict[str, list[fx.Node]] = {}
        for node in self._calls:
            for name in _names(node):
                self._named.setdefault(name, []).append(node)

    def matching(self, pattern: str) -> list[fx.Node]:
        """Return the calls that `matches` finds, in their order."""
        if pattern.startswith(_OPERATOR) or _WILD.search(pattern):
            return [node for node in self._calls if matches(node, pattern)]
        return list(dict.fromkeys(self._named.get(pattern, ())))


def tell_unmatched(program: Program, options: Mapping[str, Iterable[str]]) -> list[str]:
    """Return a note for each pattern that names nothing in a program.

    A kind that this program does not have is none of them: a list of passes may serve many models.

    Args:
        program: as the pass finds it.
        options: the patterns of each option, by its name.

    Raises:
        UsageError: for an `op:KIND` that no operator has.
    """
    calls = (node for node in program.graph.nodes if node.op == "call_function")
    names = {name for node in calls for name in _names(node) if name}
    notes = []
    for option, patterns in options.items():
        for pattern in dict.fromkeys(patterns):
            if pattern.startswith(_OPERATOR):
                _require_kind(option, pattern)
            elif pattern not in names and not fnmatch.filter(names, pattern):
                near = nearest(pattern, names)
                hint = f"; did you mean '{near}'?" if near else ""
                notes.append(f"{option} '{pattern}' matches nothing{hint}")
    return notes


def _names(node: fx.Node) -> list[str]:
    weights = [str(n.target) for n in node.all_input_nodes if n.op == "get_attr"]
    return [node.name, module_path(node), *weights]


def _require_kind(option: str, pattern: str) -> None:
    wanted = pattern.removeprefix(_OPERATOR)
    if not fnmatch.filter(KINDS, wanted):
        raise unknown("kind of operator", wanted, KINDS, where=f"{option} '{pattern}'")
