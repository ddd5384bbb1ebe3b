"""Recipes: a compilation as a TOML file that reproduces it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rewrite.errors import UsageError, unknown
from rewrite.options import option_values
from rewrite.pass_spec import PassSpec
from rewrite.passes import Pass

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_SETTINGS = ("target", "opset", "seed", "fix")


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
        UsageError: for a file that is missing, no TOML, or has an unknown key.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the recipe: {error.strerror}", where=str(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the recipe is not valid TOML: {error}", where=str(path)) from None
    known = (*_SETTINGS, "pass", "made-by")
    for key in data:
        if key not in known:
            raise unknown("key of a recipe", key, known, where=str(path))
    return Recipe(
        passes=tuple(_pass(entry, path) for entry in data.get("pass", [])),
        target=data.get("target"),
        opset=data.get("opset"),
        seed=data.get("seed"),
        fix=_sizes(data.get("fix", {}), path),
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
        f'made-by = "rewrite {version}"',
        f'target = "{target}"',
        f"opset = {opset}",
        f"seed = {seed}",
    ]
    if fix:
        sizes = ", ".join(f"{_toml(name)} = {size}" for name, size in fix.items())
        lines.append(f"fix = {{ {sizes} }}")
    for p in passes:
        lines += ["", "[[pass]]", f'name = "{p.name}"']
        lines += [f"{k} = {_toml(v)}" for k, v in option_values(p).items()]
    scratch = path.with_name(f".{path.name}.tmp")
    try:
        scratch.write_text("\n".join(lines) + "\n", encoding="utf-8")
        scratch.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write the recipe: {error.strerror}", where=str(path)) from None


def _sizes(table: Any, path: Path) -> dict[str, int]:
    if not isinstance(table, dict) or not all(type(size) is int for size in table.values()):
        raise UsageError(
            "fix is no table of sizes", where=str(path), hint="fix = { batch = 1, tokens = 128 }"
        )
    return table


def _pass(entry: dict[str, Any], path: Path) -> PassSpec:
    if "name" not in entry:
        raise UsageError("a [[pass]] of the recipe has no name", where=str(path))
    options = {k: v for k, v in entry.items() if k != "name"}
    return PassSpec(entry["name"], options)


def _toml(value: Any) -> str:
    if value is None:
        return '"none"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_toml(v) for v in value)}]"
    if isinstance(value, (int, float)):
        return repr(value)
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
