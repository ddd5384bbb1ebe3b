"""docs/tutorial.md: its code is that of docs/tutorial/, and its commands print what it says."""

import os
import shutil
import site
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from rewrite import pytest_plugin

from .console import check_block
from .pages import DOCS, blocks, call

PAGE = DOCS / "tutorial.md"
FOLDER = DOCS / "tutorial"
_SHIMS = {
    "rewrite": "-m rewrite {}",
    "pytest": "-m pytest {}",
    "pip": "-m pip --disable-pip-version-check -q {} --no-deps --no-index --no-build-isolation",
}


@pytest.mark.parametrize("name", sorted(p.name for p in FOLDER.glob("*.py")))
def test_the_page_holds_every_file_verbatim(name):
    (block,) = [b for b in blocks(PAGE, "python") if b.file == name]
    assert block.text == (FOLDER / name).read_text(encoding="utf-8")


def test_the_page_holds_no_other_code():
    assert {b.file for b in blocks(PAGE, "python")} == {p.name for p in FOLDER.glob("*.py")}


@pytest.mark.slow
def test_the_commands_print_what_the_page_says(tmp_path, monkeypatch):
    pytest.importorskip("pip")
    pytest.importorskip("openvino")
    for file in FOLDER.glob("*.py"):
        shutil.copy(file, tmp_path)
    monkeypatch.chdir(tmp_path)
    run = _runner(_environment(tmp_path / "env"))
    for block in blocks(PAGE, "console"):
        check_block(PAGE, block, run)
    written = (tmp_path / "golden" / "fold-scale.txt").read_text()
    golden = FOLDER / "golden" / "fold-scale.txt"
    if pytest_plugin.updating():
        golden.write_text(written)
    assert written == golden.read_text()


def _runner(path: Path) -> Callable[[str], tuple[int, str]]:
    """Run in this process what does not depend on packages that the page installs: it is quick."""
    variables = {**os.environ, "PATH": f"{path}{os.pathsep}{os.environ['PATH']}"}
    installed = False

    def run(command: str) -> tuple[int, str]:
        nonlocal installed
        installed = installed or command.startswith("pip install")
        if command.startswith("rewrite ") and not installed:
            return call(command)
        done = subprocess.run(
            command,
            shell=True,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.returncode, done.stdout

    return run


def _environment(folder: Path) -> Path:
    """Make an environment that sees this one's packages, to install into; return its commands."""
    venv.create(folder, with_pip=False, symlinks=True)
    paths = {sysconfig.get_path("purelib"), *site.getsitepackages()}
    variables = {"base": str(folder), "platbase": str(folder)}
    own = Path(sysconfig.get_path("purelib", vars=variables))
    lines = [f"import site; site.addsitedir({path!r})" for path in sorted(paths)]
    (own / "parent.pth").write_text("\n".join(lines))
    commands = Path(sysconfig.get_path("scripts", vars=variables))
    python = commands / Path(sys.executable).name
    for name, call_ in _SHIMS.items():
        script = commands / name
        script.write_text(f'#!/bin/sh\nexec "{python}" {call_.format(chr(34) + "$@" + chr(34))}\n')
        script.chmod(0o755)
    return commands
