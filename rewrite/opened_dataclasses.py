"""Dataclasses that a model takes or returns, opened: their tensors are inputs and outputs."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch.utils import _pytree as pytree

_OPENED: set[Any] = set()
"""Classes that torch sees into because a model was captured."""


def open_dataclasses(values: Any) -> None:
    """Let torch see into every dataclass inside of some values, nested ones too.

    One with a field that its constructor does not take cannot be made anew, and stays closed.
    """
    kinds = {type(each) for each in pytree.tree_leaves(values)}
    closed = [kind for kind in kinds if dataclasses.is_dataclass(kind) and _is_made_of_fields(kind)]
    for kind in closed:
        # torch writes the name into .pt2 files.
        name = f"{kind.__module__}.{kind.__qualname__}"
        pytree.register_dataclass(kind, serialized_type_name=name)
        _OPENED.add(kind)
    if closed:
        open_dataclasses(values)


def opened_in(spec: pytree.TreeSpec) -> list[str]:
    """Return the names of the classes inside of a structure that were opened here."""
    own = [spec.type.__name__] if spec.type in _OPENED else []
    return own + [name for child in spec.children() for name in opened_in(child)]


def _is_made_of_fields(kind: Any) -> bool:
    return all(each.init for each in dataclasses.fields(kind))
