"""All kinds of steps, by group."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .builder import Builder

Make = Callable[["Builder"], object]
GROUPS: dict[str, dict[str, Make]] = {}


def step(group: str) -> Callable[[Make], Make]:
    """Register a function that adds a step to a model, or raises Skip."""

    def register(make: Make) -> Make:
        GROUPS.setdefault(group, {})[make.__name__] = make
        return make

    return register


def load() -> dict[str, dict[str, Make]]:
    """Return all groups."""
    from . import (  # noqa: F401
        activations,
        arithmetic,
        attention,
        embeddings,
        idioms,
        integers,
        joins,
        layers,
        layout,
        norms,
        pools,
        recurrent,
        reductions,
        sizes,
        tied,
        writes,
    )

    return GROUPS
