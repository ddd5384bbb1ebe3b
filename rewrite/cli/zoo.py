"""`rewrite zoo`: the models that come with the compiler and its plugins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from rewrite.cli.console import working
from rewrite.cli.options import json_option, make_host, plugin_options, talk_options
from rewrite.cli.output import show_json, show_table, size_text


@click.command("zoo", short_help="List the trained models that come along.")
@plugin_options
@json_option
@talk_options
def zoo(**given: Any) -> None:
    """List the models reachable as zoo:NAME, with held-out metrics, size and source."""
    with working(quiet=given["quiet"], verbose=given["verbose"]):
        host = make_host(given["plugin_files"], given["block"])
        value: list[dict[str, Any]] = [
            {
                "name": f"zoo:{m.name}",
                "summary": m.summary,
                "metrics": dict(m.metrics),
                "bytes": m.size_bytes,
                "source": m.source,
                "distribution": host.origin("model", m.name),
            }
            for m in host.models().values()
        ]
    if given["as_json"]:
        show_json(value)
        return
    show_table(
        ("model", "held-out", "size", "summary", "source"),
        [
            (m["name"], _metrics(m["metrics"]), size_text(m["bytes"]), m["summary"], m["source"])
            for m in value
        ],
    )


def _metrics(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items()) or "-"
