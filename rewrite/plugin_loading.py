"""Finding and importing plugins: entry points of installed packages, modules and single files."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from rewrite.errors import STOPS, PluginError, first_line, raised_at
from rewrite.passes import Pass

GROUP = "rewrite"
_OWN_DISTRIBUTION = "rewrite-compiler"


@dataclass(frozen=True)
class Failure:
    """Why a plugin, or one of its hooks, does not work."""

    what: str
    where: str | None = None
    hint: str | None = None

    @classmethod
    def of(cls, error: BaseException, file: str | None = None) -> Failure:
        """Describe an exception, at its innermost frame in `file` when it has one there."""
        return cls(f"{type(error).__name__}: {first_line(error)}", raised_at(error, file))

    def __str__(self) -> str:
        return f"{self.what} ({self.hint})" if self.hint else self.what


def installed() -> list[metadata.EntryPoint]:
    """Return the entry points of the group, those of the compiler's own distribution first."""
    found = metadata.entry_points(group=GROUP)
    return sorted(found, key=lambda e: (source(e)[0] != _OWN_DISTRIBUTION, source(e), e.name))


def source(entry_point: metadata.EntryPoint) -> tuple[str, str]:
    """Return the (name, version) of the distribution an entry point belongs to."""
    dist = entry_point.dist
    return (dist.name, dist.version) if dist is not None else ("an unnamed distribution", "")


def load_file(path: Path) -> ModuleType:
    """Import one file as a module of its own.

    Raises:
        PluginError: when it is not there or does not import, at its own line.
    """
    path = path.expanduser().resolve()
    if not path.is_file():
        raise PluginError(
            f"there is no plugin file {path.name}",
            where=str(path),
            hint="--plugin takes the path of a .py file, or the name of an importable module",
        )
    stem = re.sub(r"\W", "_", path.stem)
    digest = hashlib.sha1(str(path).encode(), usedforsecurity=False).hexdigest()[:8]
    name = f"rewrite_file_{stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path.name} is not a Python file", where=str(path), hint="name it .py")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name while the file is still running.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except STOPS:
        raise
    except BaseException as error:
        del sys.modules[name]
        raise _not_loaded(str(path.name), error, str(path)) from error
    return module


def load_module(name: str) -> ModuleType:
    """Import a module by its dotted name.

    Raises:
        PluginError: when it is not there or does not import.
    """
    try:
        return importlib.import_module(name)
    except STOPS:
        raise
    except BaseException as error:
        raise _not_loaded(name, error, None) from error


def no_hooks(module: Any) -> Failure:
    """Say what keeps a module without hooks from being a plugin."""
    members = list(vars(module).items())
    plain = [n for n, v in members if n.startswith("rewrite_") and callable(v)]
    passes = [
        v.__name__
        for _, v in members
        if isinstance(v, type) and issubclass(v, Pass) and v.__module__ == module.__name__
    ]
    if plain:
        hint = f"write @hookimpl above {plain[0]} (from rewrite import hookimpl)"
    elif passes:
        hint = f"add: @hookimpl / def rewrite_passes(): yield {passes[0]}"
    else:
        hint = "write a function such as rewrite_passes, with @hookimpl above it"
    return Failure("it registers no hooks", getattr(module, "__file__", None), hint)


def _not_loaded(name: str, error: BaseException, file: str | None) -> PluginError:
    failure = Failure.of(error, file)
    hint = "mend that line, or leave --plugin out"
    if isinstance(error, ModuleNotFoundError):
        hint = f"is '{error.name}' installed in this environment? A file is given as ./{name}.py"
        if file is not None:
            hint = f"install '{error.name}' into this environment: pip install {error.name}"
    return PluginError(
        f"plugin {name} does not load: {failure.what}", where=failure.where, hint=hint
    )
