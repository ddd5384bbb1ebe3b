"""Pages of the documentation as the tests see them: blocks of code, and commands with output."""

import contextlib
import io
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    [*ROOT.glob("*.md"), *DOCS.glob("**/*.md")], key=lambda page: (len(page.parts), page)
)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"`([\w./-]+\.\w+)`[^\n`]*:\n\n$")
_NUMBER = re.compile(r"\d+(\.\d+)+(e[+-]?\d+)?|\d+(?= MB)")
_LAYERS = re.compile(r"layers (equal|within \d steps?)")
_PATH = re.compile(r"(?<![\w.])/[\w./-]+/")


@dataclass(frozen=True)
class Block:
    """A fenced block; `file` is the name that the line above it gives: "`model.py`:"."""

    language: str
    text: str
    file: str | None
    line: int


@dataclass(frozen=True)
class Step:
    """A command of a console block, and what the page says it prints."""

    command: str
    output: str
    source: str
    """The command as it is written, which may take several lines."""


def blocks(page: Path, language: str | None = None) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for fence in _FENCE.finditer(text):
        name = _FILE.search(text[: fence.start()])
        line = text.count("\n", 0, fence.start()) + 1
        found.append(Block(fence[1], fence[2], name and name[1], line))
    return [b for b in found if language in (None, b.language)]


def steps(block: Block) -> list[Step]:
    """Split a console block at its `$ ` lines."""
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert not parts[0].strip(), f"line {block.line}: a console block starts with '$ '"
    return [_step(part) for part in parts[1:]]


def _step(part: str) -> Step:
    first, *rest = part.replace("\\\n", "\\\0").split("\n")
    source = first.replace("\0", "\n")
    command = re.sub(r"\\\n\s*", "", source)
    return Step(command, "\n".join(rest).strip("\n"), source)


def same_output(expected: str, actual: str) -> bool:
    """Compare but for measured numbers, folders and blanks; `...` stands for anything."""
    wanted = re.escape(_masked(expected)).replace(re.escape("..."), ".*")
    return re.fullmatch(wanted, _masked(actual), re.DOTALL) is not None


def _masked(text: str) -> str:
    # torch 2.15 says which product it is that does not fit.
    text = text.replace("RuntimeError: addmm: ", "RuntimeError: ")
    plain = _PATH.sub("", _NUMBER.sub("#", _LAYERS.sub("layers #", text)))
    return re.sub(r"\s+", " ", plain).strip()


def call(command: str) -> tuple[int, str]:
    """Run a `rewrite ...` command in this process; return its code and all that it printed."""
    from rewrite.cli import main

    name, *arguments = shlex.split(command)
    assert name == "rewrite", command
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            main.main(arguments)
        except SystemExit as stop:
            return int(stop.code or 0), _anywhere(printed.getvalue())
    raise AssertionError("the command line did not exit")


def _anywhere(printed: str) -> str:
    """Leave out what is said on processors without VNNI, and on busy ones, alone."""
    here = ("this processor has no VNNI", "the machine is busy")
    lines = printed.splitlines(keepends=True)
    return "".join(line for line in lines if not any(text in line for text in here))
