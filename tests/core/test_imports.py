"""The direction of knowledge: rewrite/ knows no plugin, plugins/ no private name, zoo/ torch."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ZOO_MAY_IMPORT = {
    "rewrite": {"Model", "hookimpl"},
    "rewrite.hookspecs": {"hookimpl"},
    "rewrite.descriptors": {"Model", "Run"},
}
ZOO_LIBRARIES = {"torch", "numpy", "safetensors", "sklearn", "skimage", "rewrite_zoo"}


def files(folder: str) -> list[Path]:
    return sorted(p for p in (ROOT / folder).rglob("*.py") if "templates" not in p.parts)


def imports(file: Path) -> Iterator[tuple[str, str | None, int]]:
    """Yield (module, name or None, line) of every absolute import."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from ((node.module, alias.name, node.lineno) for alias in node.names)


def identify(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("file", files("rewrite"), ids=identify)
def test_the_compiler_imports_no_plugin(file):
    for module, _, line in imports(file):
        top = module.partition(".")[0]
        assert top not in ("rewrite_plugins", "rewrite_zoo", "plugins", "zoo"), f"{file}:{line}"


@pytest.mark.parametrize("file", files("plugins"), ids=identify)
def test_plugins_import_public_names_only(file):
    for module, name, line in imports(file):
        place = f"{identify(file)}:{line}: {module} {name or ''}"
        if module.partition(".")[0] != "rewrite":
            continue
        assert not any(part.startswith("_") for part in [*module.split("."), name or ""]), place
        found = importlib.import_module(module)
        assert found.__doc__, f"{place}: a public module says what it is for"
        if name is not None and module == "rewrite":
            assert name in found.__all__ or f"rewrite.{name}" in sys.modules, place


@pytest.mark.parametrize("file", files("plugins"), ids=identify)
def test_plugins_do_not_know_the_zoo(file):
    assert not [m for m, _, _ in imports(file) if m.partition(".")[0] in ("rewrite_zoo", "zoo")]


@pytest.mark.parametrize("file", files("zoo"), ids=identify)
def test_the_zoo_knows_torch_and_the_hook_marker(file):
    for module, name, line in imports(file):
        place = f"{identify(file)}:{line}: {module} {name or ''}"
        top = module.partition(".")[0]
        if top == "rewrite":
            assert name in ZOO_MAY_IMPORT.get(module, ()), place
        else:
            assert top in ZOO_LIBRARIES or top in sys.stdlib_module_names, place


def test_the_folders_are_where_this_test_looks():
    assert files("rewrite")
    assert files("plugins")
    assert files("zoo")


def test_importing_the_compiler_loads_no_plugin():
    code = (
        "import sys, rewrite, rewrite.plugin_host; "
        "print([m for m in sys.modules if m.startswith('rewrite_')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
