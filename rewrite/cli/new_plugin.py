"""`rewrite new-plugin`: the skeleton of a plugin."""

from __future__ import annotations

from pathlib import Path

import click

from rewrite.cli.options import json_option
from rewrite.cli.output import say, show_json


@click.command("new-plugin", short_help="Write a package with a pass whose test passes.")
@click.argument("name")
@click.option(
    "--dir",
    "folder",
    default=".",
    show_default=True,
    metavar="DIR",
    help="Folder that will hold the new one.",
)
@json_option
def new_plugin(name: str, folder: str, as_json: bool) -> None:
    """Write the package NAME: one pass, its test, and the entry point that plugs it in."""
    from rewrite.new_plugin import new_plugin as write

    written = write(name, Path(folder))
    if as_json:
        files = sorted(str(p.relative_to(written)) for p in written.rglob("*") if p.is_file())
        show_json({"path": str(written), "files": files})
        return
    say(f"wrote {written}")
    say(f"next: pip install -e {written} && pytest {written}")
