"""Every built-in pass has a page, and each page says what the code says."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
import shlex
import sys
from pathlib import Path

import pytest
import rewrite_plugins
from rewrite_plugins import convolve_batch_norm, fold_batch_norm

from rewrite import Pass, pytest_plugin
from rewrite.cli import main
from rewrite.half import compute, ranges, weights
from rewrite.options import describe_options
from rewrite.quantization import (
    batches,
    biases,
    cache,
    coordinates,
    freeze,
    joins,
    observe,
    obstacles,
    padding,
    placement,
    profit,
)

PAGES = Path(__file__).parents[1] / "docs" / "passes"
PASSES = {p.name: p for p in rewrite_plugins.rewrite_passes()}
SECTIONS = (
    "What it does",
    "Equivalence",
    "Options",
    "When it declines",
    "Example",
    "Sources",
)
ELSEWHERE = {
    "convolve-batch-norm": (fold_batch_norm,),
    "split-composites": (fold_batch_norm, convolve_batch_norm),
    "halve-floats": (batches, compute, ranges, weights),
    "insert-quantizers": (coordinates, joins, obstacles, placement, profit),
    "calibrate": (batches, biases, cache, freeze, observe, padding),
}
"""Modules that give reasons for a pass, beside its own."""


def page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


def section(name: str, title: str) -> str:
    body = page(name).split(f"\n## {title}\n", 1)[1]
    return body.split("\n## ", 1)[0]


def test_every_pass_has_a_page_and_every_page_a_pass():
    assert {path.stem for path in PAGES.glob("*.md")} == set(PASSES)


@pytest.mark.parametrize("name", PASSES)
def test_pages_have_the_same_sections_and_start_with_the_summary(name):
    text = page(name)
    assert text.startswith(f"# {name}\n\n{PASSES[name].summary()}\n")
    assert tuple(re.findall(r"^## (.*)$", text, re.MULTILINE)) == SECTIONS


@pytest.mark.parametrize("name", PASSES)
def test_the_equivalence_is_that_of_the_code(name):
    assert section(name, "Equivalence").strip().startswith(f"`{PASSES[name].equivalence}`")


@pytest.mark.parametrize("name", PASSES)
def test_every_option_is_there_with_type_default_and_help(name):
    rows = [line for line in section(name, "Options").splitlines() if line.startswith("| `")]
    expected = [
        f"| `{o.name}` | `{o.type}` | `{o.default}` | {o.help} |".replace(o.type, _escaped(o.type))
        for o in describe_options(PASSES[name])
    ]
    assert rows == expected
    if not expected:
        assert section(name, "Options").strip() == "None."


def _escaped(text: str) -> str:
    """Write a table cell: a bare | would end it."""
    return text.replace("|", "\\|")


def source(pass_: type[Pass]) -> str:
    """Return the code that gives a pass's reasons, strings that span lines put together."""
    modules = (sys.modules[pass_.__module__], *ELSEWHERE.get(pass_.name, ()))
    text = "".join(inspect.getsource(module) for module in modules)
    return re.sub(r'"\s*\n\s*f?"', "", text)


def reasons(name: str) -> list[str]:
    """Return the quoted reasons: what is in backticks before the colon of each item."""
    declines = section(name, "When it declines")
    heads = re.findall(r"^- (`.*?`):\s", declines, re.MULTILINE | re.DOTALL)
    return [" ".join(r.split()) for r in re.findall(r"`([^`]+)`", "\n".join(heads))]


@pytest.mark.parametrize("name", PASSES)
def test_every_reason_on_the_page_is_in_the_code(name):
    text = source(PASSES[name])
    assert reasons(name)
    for reason in reasons(name):
        parts = [re.escape(part) for part in reason.split("…")]
        assert re.search(r"(\{[^}]*\}|\w+)".join(parts), text), reason


def rewrite(command: str) -> str:
    program, *arguments = shlex.split(command)
    assert program == "rewrite"
    printed = io.StringIO()
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        pytest.raises(SystemExit) as ended,
    ):
        main.main(arguments)
    assert not ended.value.code, printed.getvalue()
    return printed.getvalue()


@pytest.mark.parametrize("name", PASSES)
def test_the_example_prints_what_the_page_says(name, tmp_path, monkeypatch):
    text = page(name)
    code = re.search(r"`model\.py`:\n\n```python\n(.*?)```", text, re.DOTALL)
    console = re.search(r"```console\n(.*?)```", text, re.DOTALL)
    assert code and console
    (tmp_path / "model.py").write_text(code[1], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^\$ (.*)$", console[1], re.MULTILINE)
    assert commands
    outputs = [re.sub(r"[ \t]+$", "", rewrite(c), flags=re.MULTILINE).strip() for c in commands]
    printed = "\n".join(f"$ {c}\n{o}\n" for c, o in zip(commands, outputs, strict=True))
    if pytest_plugin.updating():
        renewed = text.replace(console[0], f"```console\n{printed}```")
        (PAGES / f"{name}.md").write_text(renewed, encoding="utf-8")
        return
    assert console[1] == printed
