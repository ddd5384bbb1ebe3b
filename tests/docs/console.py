"""Running the commands of a page, and comparing or renewing what the page says they print."""

from collections.abc import Callable
from pathlib import Path

from rewrite import pytest_plugin

from .pages import Block, Step, same_output, steps

Run = Callable[[str], tuple[int, str]]


def check_block(page: Path, block: Block, run: Run) -> None:
    """Run the commands of a console block; `pytest --update-golden` writes what they print."""
    for step in steps(block):
        code, printed = run(step.command)
        where = f"{page.name}:{block.line}: $ {step.command}"
        failing = step.output.startswith("error:") or "\nerror:" in step.output
        if same_output(step.output, printed):
            assert bool(code) == failing, f"{where} exits with {code}:\n{printed}"
            continue
        assert pytest_plugin.updating(), f"{where} prints:\n{printed}\nnot:\n{step.output}"
        _renew(page, step, printed)


def _renew(page: Path, step: Step, printed: str) -> None:
    text = page.read_text(encoding="utf-8")
    lines = [line.rstrip() for line in printed.strip().splitlines()]
    for command in (step.command, step.source):
        before = "\n".join([f"$ {command}", *step.output.splitlines(), ""])
        if before in text:
            after = "\n".join([f"$ {command}", *lines, ""])
            page.write_text(text.replace(before, after, 1), encoding="utf-8")
            return
    raise AssertionError(f"{page.name} has no command {step.command}")
