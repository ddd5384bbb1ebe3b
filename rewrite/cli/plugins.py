"""`rewrite plugins`: what is plugged in, and what is wrong with it."""

from __future__ import annotations

from typing import Any

import click

from rewrite.cli.console import working
from rewrite.cli.options import json_option, make_host, plugin_options, talk_options
from rewrite.cli.output import say, show_json, show_table


@click.command("plugins", short_help="List the plugins, broken ones too.")
@plugin_options
@json_option
@talk_options
def plugins(**given: Any) -> None:
    """List every plugin: where it comes from, what it provides, and why it is broken if it is."""
    with working(quiet=given["quiet"], verbose=given["verbose"]):
        host = make_host(given["plugin_files"], given["block"])
        value: list[dict[str, Any]] = [
            {
                "name": p.name,
                "distribution": p.distribution,
                "version": p.version,
                "status": p.status,
                "hooks": list(p.hooks),
                "provides": {kind: list(names) for kind, names in p.provides.items()},
                "error": p.error,
                "where": p.where,
            }
            for p in host.plugins()
        ]
    if given["as_json"]:
        show_json(value)
        return
    show_table(
        ("plugin", "from", "status", "provides"),
        [
            (p["name"], f"{p['distribution']} {p['version']}".strip(), p["status"], _provides(p))
            for p in value
        ],
    )
    for p in value:
        if p["error"]:
            at = f"\n  at: {p['where']}" if p["where"] else ""
            say(f"\n{p['name']} is broken: {p['error']}{at}")


def _provides(plugin: dict[str, Any]) -> str:
    counts = ((len(names), kind) for kind, names in plugin["provides"].items())
    return ", ".join(f"{n} {kind if n == 1 else _plural(kind)}" for n, kind in counts) or "-"


def _plural(kind: str) -> str:
    return f"{kind}es" if kind.endswith("s") else f"{kind}s"
