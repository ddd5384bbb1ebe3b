"""docs/model-files.md: its files compile, and its mistakes give the errors it says."""

import os
import subprocess

import pytest

from .console import check_block
from .pages import DOCS, blocks, call

PAGE = DOCS / "model-files.md"


@pytest.mark.slow
def test_the_commands_print_what_the_page_says(tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    for block in blocks(PAGE, "python"):
        assert block.file, f"line {block.line}: say above the block what its file is called"
        (tmp_path / block.file).write_text(block.text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for block in blocks(PAGE, "console"):
        check_block(PAGE, block, _run)


def _run(command: str) -> tuple[int, str]:
    if command.startswith("rewrite "):
        return call(command)
    done = subprocess.run(command, shell=True, env=os.environ, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr
