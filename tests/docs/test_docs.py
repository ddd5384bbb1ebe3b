"""All pages: links lead somewhere, commands exist, README shows what really happens."""

import re
import shlex

import click
import pytest

from rewrite.cli import main
from rewrite.errors import RewriteError
from rewrite.options import build
from rewrite.pass_spec import parse_passes
from rewrite.plugin_host import PluginHost

from .console import check_block
from .pages import DOCS, PAGES, ROOT, blocks, call

README = ROOT / "README.md"
README_LINES = 70
"""One screen, as high as screens are."""
LONGEST_LINE = 100
WRITTEN_BY_HAND = [p for p in PAGES if p.name != "cli.md"]
EXAMPLES = {"scale", "merge-factors", "fold-scale", "a", "b", "c", "count-nodes"}
"""Passes that pages make up."""

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$", re.MULTILINE)
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_INLINE = re.compile(r"`(rewrite [^`\n]+)`")
_INDENTED = re.compile(r"^(?: {4}|\$ )(rewrite .*)$", re.MULTILINE)


def relative(page):
    return str(page.relative_to(ROOT))


def links(page):
    return [a or b for a, b in _LINK.findall(page.read_text(encoding="utf-8"))]


def anchor(heading):
    """Return the anchor that Markdown viewers make of a heading."""
    plain = re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_somewhere(page):
    for link in links(page):
        if link.startswith(("https://", "mailto:")):
            continue
        place, _, part = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), f"{relative(page)}: {link}"
        if part:
            headings = map(anchor, _HEADING.findall(target.read_text(encoding="utf-8")))
            assert part in set(headings), f"{relative(page)}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_lines_are_short(page):
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), start=1)
    long = [n for n, line in lines if len(line) > LONGEST_LINE and "](http" not in line]
    assert not long or page.parent.name == "passes", f"{relative(page)}: lines {long}"


def commands(page):
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    found = [*_INLINE.findall(text), *_INDENTED.findall(text)]
    return sorted({c.split("  #")[0].strip() for c in found})


@pytest.mark.parametrize(
    ("page", "command"),
    [(page, command) for page in WRITTEN_BY_HAND for command in commands(page)],
    ids=lambda value: value if isinstance(value, str) else relative(value),
)
def test_commands_exist(page, command):
    """Subcommands, options and values that are choices; `...` and upper case stand for others."""
    words = shlex.split(command.split(" && ")[0].split(" 2>")[0])[1:]
    name = words[0] if words and words[0] in main.commands else "run"
    given = main.commands[name]
    options = {o: p for p in given.params for o in (*p.opts, *p.secondary_opts)}
    options |= dict.fromkeys(("--help", "-h", "--version"))
    for word, value in zip(words, [*words[1:], ""], strict=True):
        if not word.startswith("-") or word == "-":
            continue
        word, _, attached = word.partition("=")
        assert word in options, f"{relative(page)}: {command}"
        kind = getattr(options[word], "type", None)
        if isinstance(kind, click.Choice) and not (attached or value).isupper():
            assert (attached or value) in kind.choices, f"{relative(page)}: {command}"
        if word == "--passes" and not value.isupper() and "..." not in value:
            _exist(value)


def _exist(listed):
    host = PluginHost()
    for spec in parse_passes(listed):
        if spec.name in EXAMPLES:
            continue
        try:
            build(host.find_pass(spec.name), spec.name, dict(spec.options))
        except RewriteError as error:
            raise AssertionError(str(error)) from error


def test_the_index_has_every_page_and_every_pass():
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    linked = {(DOCS / link.split("#")[0]).resolve() for link in links(DOCS / "index.md")}
    assert {p for p in DOCS.rglob("*.md") if p.name != "index.md"} <= linked
    listed = dict(re.findall(r"^\| \[([\w-]+)\] \| (\w+) \|", index, re.MULTILINE))
    own = {n: p for n, p in PluginHost().passes().items() if p.__module__.startswith("rewrite_p")}
    assert listed == {name: p.equivalence for name, p in own.items()}


def test_readme_is_one_screen():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= README_LINES


@pytest.mark.slow
def test_readme_shows_what_really_happens(tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.chdir(tmp_path)
    (model,) = blocks(README, "python")
    (tmp_path / "model.py").write_text(model.text, encoding="utf-8")
    assert "    rewrite model.py --preset int8 -o out.onnx\n" in README.read_text(encoding="utf-8")
    code, printed = call("rewrite model.py --preset int8 -o out.onnx")
    assert code == 0, printed
    for block in blocks(README, "console"):
        check_block(README, block, call)
