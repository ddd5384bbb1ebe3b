"""Recipes: a compilation as a TOML file that reproduces it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rewrite.errors import UsageError, unknown
from rewrite.named_files import read_text
from rewrite.options import option_values
from rewrite.pass_spec import PassSpec
from rewrite.passes import Pass
from rewrite.request import LARGEST_SEED
from rewrite.toml_text import read_toml

_SETTINGS: dict[str, tuple[type, str, str]] = {
    "target": (str, "name", 'target = "portable"'),
    "opset": (int, "whole number", "opset = 20"),
    "seed": (int, "whole number", "seed = 0"),
}
"""The type of each, its name, and how one is written."""
_KEYS = (*_SETTINGS, "fix", "pass", "made-by")


@dataclass(frozen=True)
class Recipe:
    """Which passes with which options, for which target."""

    passes: tuple[PassSpec, ...]
    target: str | None = None
    opset: int | None = None
    seed: int | None = None
    fix: Mapping[str, int] = field(default_factory=dict)
    """Sizes of dynamic dimensions, by name."""


def read_recipe(path: Path) -> Recipe:
    """Read a recipe file.

    Raises:
        UsageError: for a file that is missing, no TOML, or has an unknown key or a value of another
            type.
    """
    source = str(path)
    data = read_toml(read_text(path, "the recipe"), "the recipe", source)
    for key in data:
        if key not in _KEYS:
            raise unknown("key of a recipe", key, _KEYS, where=source)
    for key, (wanted, name, hint) in _SETTINGS.items():
        if key in data and type(data[key]) is not wanted:
            raise UsageError(f"{key} is no {name}", where=source, hint=hint)
    if not 0 <= data.get("seed", 0) <= LARGEST_SEED:
        raise UsageError(f"seed is not between 0 and {LARGEST_SEED}", where=source)
    passes = data.get("pass", [])
    if not isinstance(passes, list):
        raise UsageError("pass is no list of tables", where=source, hint="write [[pass]] above it")
    return Recipe(
        passes=tuple(_pass(entry, source) for entry in passes),
        target=data.get("target"),
        opset=data.get("opset"),
        seed=data.get("seed"),
        fix=_sizes(data.get("fix", {}), source),
    )


def write_recipe(
    path: Path,
    passes: Sequence[Pass],
    *,
    target: str,
    opset: int,
    seed: int,
    version: str,
    fix: Mapping[str, int] | None = None,
) -> None:
    """Write the recipe that reproduces a run, every option spelled out."""
    lines = [
        f"made-by = {_toml(f'rewrite {version}')}",
        f"target = {_toml(target)}",
        f"opset = {opset}",
        f"seed = {seed}",
    ]
    if fix:
        sizes = ", ".join(f"{_toml(name)} = {size}" for name, size in fix.items())
        lines.append(f"fix = {{ {sizes} }}")
    for p in passes:
        lines += ["", "[[pass]]", f"name = {_toml(p.name)}"]
        lines += [f"{k} = {_toml(v)}" for k, v in option_values(p).items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _sizes(table: Any, source: str) -> dict[str, int]:
    if not isinstance(table, dict) or not all(_is_size(size) for size in table.values()):
        raise UsageError(
            "fix is no table of sizes", where=source, hint="fix = { batch = 1, tokens = 128 }"
        )
    return table


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 < value < 2**31


def _pass(entry: Any, source: str) -> PassSpec:
    if not isinstance(entry, dict) or "name" not in entry:
        raise UsageError("a [[pass]] of the recipe has no name", where=source)
    if not isinstance(entry["name"], str):
        raise UsageError("the name of a [[pass]] is no text", where=source)
    for key, value in entry.items():
        if not isinstance(value, (str, int, float, list)) or _is_nested(value):
            raise UsageError(
                f"option {key} of [[pass]] '{entry['name']}' is no number, text or list of these",
                where=source,
            )
    return PassSpec(entry["name"], {k: v for k, v in entry.items() if k != "name"})


def _is_nested(value: Any) -> bool:
    return isinstance(value, list) and not all(isinstance(v, (str, int, float)) for v in value)


def _toml(value: Any) -> str:
    if value is None:
        return '"none"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_toml(v) for v in value)}]"
    if isinstance(value, (int, float)):
        return repr(value)
    # JSON escapes what TOML does, but for the one character that both leave to themselves.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
