"""Names of inlined values, in time that grows with their number and not its square."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from unittest import mock

from onnx_ir.passes.common import inliner

_KNOWN = ("name", "callstack", "used_names")
"""What the function takes that is replaced: another one is left as it is."""


@contextlib.contextmanager
def unique_names() -> Iterator[None]:
    """Let the inliner go on counting where it stopped.

    It tries `name_2`, `name_3` and so on for each call of a function: for 3,200 calls that is half
    of an export.
    """
    plain = getattr(inliner, "_make_unique_name", None)
    if plain is None or tuple(inspect.signature(plain).parameters) != _KNOWN:
        yield
        return
    with mock.patch.object(inliner, "_make_unique_name", _Counter().name):
        yield


class _Counter:
    """Gives the names that the inliner would, remembering the last number of each."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[set[str], dict[str, int]]] = {}

    def name(self, name: str, callstack: object, used_names: set[str]) -> str:
        """Return a name that is not used yet, and use it."""
        # The set is kept, so that no other one gets its identity.
        _, last = self._last.setdefault(id(used_names), (used_names, {}))
        number = last.get(name, 1)
        candidate = name if number == 1 else f"{name}_{number}"
        while candidate in used_names:
            number += 1
            candidate = f"{name}_{number}"
        last[name] = number
        used_names.add(candidate)
        return candidate
