"""Writing the skeleton of a plugin: an installable package with one pass and its test."""

from __future__ import annotations

import keyword
import re
import shutil
import sys
import tempfile
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from rewrite.errors import UsageError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def new_plugin(name: str, destination: Path) -> Path:
    """Write the package `name` into a new folder of `destination` and return that folder.

    Args:
        name: of the distribution, in kebab case; its pass has the same name, less `rewrite-`.
        destination: folder that will hold the new one.

    Raises:
        UsageError: for a name that is no package name, or a folder that holds something.
    """
    values = _values(name)
    folder = destination / name
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"the folder '{name}' is there already, and not empty",
            where=str(folder),
            hint="choose another name or folder; nothing was written",
        )
    destination.mkdir(parents=True, exist_ok=True)
    # Built beside its place and renamed, so that an error leaves no half of a package.
    scratch = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=destination))
    try:
        _write(resources.files("rewrite") / "templates" / "plugin", scratch, values)
        scratch.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        scratch.rename(folder)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return folder


def _values(name: str) -> dict[str, str]:
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' is not a name for a plugin",
            hint="use lower case words joined by '-', like: fold-scale",
        )
    module, pass_name = name.replace("-", "_"), name.removeprefix("rewrite-")
    taken = {*sys.stdlib_module_names, "rewrite", "torch", "onnx", "numpy", "tests", "src"}
    if module in taken or keyword.iskeyword(module) or keyword.iskeyword(pass_name):
        raise UsageError(
            f"'{name}' cannot be the name of a plugin: Python uses it for something else",
            hint=f"try: rewrite-{name}" if module != "rewrite" else "try: fold-scale",
        )
    return {
        "name": name,
        "module": module,
        "pass_name": pass_name,
        "pass_file": pass_name.replace("-", "_"),
        "pass_class": "".join(word.capitalize() for word in pass_name.split("-")),
    }


def _write(template: Traversable, folder: Path, values: dict[str, str]) -> None:
    """Fill in the templates; they end in .txt so that no tool takes them for code."""
    for entry in template.iterdir():
        if entry.is_dir():
            inner = folder / entry.name.replace("MODULE", values["module"])
            inner.mkdir()
            _write(entry, inner, values)
            continue
        name = entry.name.removesuffix(".txt")
        part = "pass_name" if folder.name == "golden" else "pass_file"
        text = Template(entry.read_text(encoding="utf-8")).substitute(values)
        (folder / name.replace("PASS", values[part])).write_text(text, encoding="utf-8")
