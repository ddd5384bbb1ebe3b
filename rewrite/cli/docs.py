"""Writes docs/cli.md from --help: `python -m rewrite.cli.docs > docs/cli.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from rewrite.cli.app import main as app

_WIDTH = 92

_HEAD = """# Command line

<!-- Written by `make docs` from --help; a test keeps it up to date. -->

stdout is data, stderr is talk: stages, one line per pass, a live bar on a terminal. Every command
has `--json` and then prints exactly one JSON value on stdout. An error is up to three lines on
stderr (what, where, hint); with `--json` also an object
`{"error": {"what", "where", "hint", "exit_code"}}` on stdout.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | a check failed, or the model could not be captured; nothing was written |
| 2 | wrong usage: an option, a name or a file |
| 3 | a plugin that was asked for could not load, or failed |
| 130, 143 | interrupted, terminated; nothing was written |

A file is made beside its place and renamed, so what `-o` names is either the finished file or
what it was before. A `.pt2` file of a quantized program needs the compiler's operators where it is
loaded: `import rewrite.quantization.markers` before `torch.export.load`.
"""


def page() -> str:
    """Return the page docs/cli.md."""
    return "\n".join([_HEAD, *_sections()])


def _sections() -> Iterator[str]:
    top = _context(app, "rewrite", None)
    yield _section("rewrite", app.get_help(top))
    for name in app.list_commands(top):
        command = app.commands[name]
        yield _section(f"rewrite {name}", command.get_help(_context(command, name, top)))


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    return click.Context(
        command,
        parent=parent,
        info_name=name,
        terminal_width=_WIDTH,
        max_content_width=_WIDTH,
        help_option_names=["-h", "--help"],
    )


def _section(title: str, text: str) -> str:
    body = "\n".join(line.rstrip() for line in text.splitlines())
    return f"## {title}\n\n```text\n{body}\n```\n"


if __name__ == "__main__":
    sys.stdout.write(page())
