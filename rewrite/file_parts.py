"""A written model: one file, or two where its weights lie beside it."""

from __future__ import annotations

from pathlib import Path


def parts_of(path: Path) -> list[Path]:
    """Return a written file and, in front of it, the weights that `save` put beside it.

    The weights come first: whoever finds a moved model finds its weights too.
    """
    weights = path.with_name(f"{path.name}.data")
    return [weights, path] if weights.exists() else [path]


def size_of(path: Path) -> int:
    """Return the bytes of all parts of a written file."""
    return sum(part.stat().st_size for part in parts_of(path))
