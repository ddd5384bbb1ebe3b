"""Dataclasses that a model takes or returns, opened: their tensors are inputs and outputs."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch.utils import _pytree as pytree


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
    if closed:
        open_dataclasses(values)


def _is_made_of_fields(kind: Any) -> bool:
    return all(each.init for each in dataclasses.fields(kind))
