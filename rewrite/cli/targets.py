"""`rewrite targets`: where a file can be made to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from rewrite.cli.console import working
from rewrite.cli.options import json_option, make_host, plugin_options, talk_options
from rewrite.cli.output import say, show_json, show_table

if TYPE_CHECKING:
    from rewrite.plugin_host import PluginHost


@click.command("targets", short_help="List the deployment targets, or describe one.")
@click.argument("name", required=False)
@plugin_options
@json_option
@talk_options
def targets(name: str | None, **given: Any) -> None:
    """List the targets; with NAME, show what one target wants."""
    with working(quiet=given["quiet"], verbose=given["verbose"]):
        host = make_host(given["plugin_files"], given["block"])
        value = _describe(host, name) if name else [_describe(host, n) for n in host.targets()]
    if given["as_json"]:
        show_json(value)
    elif isinstance(value, dict):
        _show_one(value)
    else:
        show_table(
            ("target", "opset", "runs on", "from", "summary"),
            [
                (
                    t["name"],
                    str(t["opset"]),
                    ", ".join(t["runtimes"]) or "-",
                    t["distribution"],
                    t["summary"],
                )
                for t in value
            ],
        )


def _describe(host: PluginHost, name: str) -> dict[str, Any]:
    from rewrite.steering import faults_of

    target = host.find_target(name)
    value = {k: v for k, v in asdict(target).items() if k != "tables"}
    return {
        **value,
        "distribution": host.origin("target", name),
        "faults": [asdict(fault) for fault in faults_of(target, host.faults())],
    }


def _show_one(value: dict[str, Any]) -> None:
    low, high = value["opset_range"]
    say(f"{value['name']}: {value['summary']}")
    say(f"from: {value['distribution']} ({value['source']})")
    if value["extends"]:
        say(f"extends: {value['extends']}")
    say(f"opset: {value['opset']} ({low} to {high})")
    say(f"runs on: {', '.join(value['runtimes']) or 'nothing here'}")
    if value["machines"]:
        say(f"on machines: {', '.join(value['machines'])}")
    say(f"bias: {value['bias']}")
    say(f"absorbed before a quantizer: {', '.join(value['absorbs']) or 'nothing'}")
    say(f"computed before rounding: {', '.join(value['fuses']) or 'nothing'}")
    say(f"legalized by: {', '.join(value['legalize']) or 'nothing'}")
    say(f"written around: {', '.join(value['avoids']) or 'nothing'}")
    say(f"held to the rules: {', '.join(value['rules']) or 'none'}")
    made_by = [f"{spec} if made by {kind}" for kind, spec in value["producers"].items()]
    say(f"inputs are {', '.join(made_by) or 'what their reader wants'}\n")
    show_table(
        ("spec", "settings"),
        [(name, _settings(spec)) for name, spec in value["specs"].items()],
    )
    say()
    show_table(
        ("operator", "mode", "inputs", "output"),
        [
            (kind, rule["mode"], _settings(rule["inputs"]), _output(rule))
            for kind, rule in value["ops"].items()
        ],
    )

    if value["faults"]:
        say()
        show_table(
            ("known to be bad here", "what happens", "seen on", "what is done"),
            [
                (f["name"], f"{f['runtime']} {f['symptom']}", _range(f["seen"]), f["does"])
                for f in value["faults"]
            ],
        )


def _output(rule: dict[str, Any]) -> str:
    """Return what an operator's result is, and what the rule asks for besides."""
    kept = rule["mode"] in ("share", "follow")
    parts = [rule["output"] or ("as the input" if kept else "float")]
    if rule["float_output"]:
        parts.append("float where no int8 kernel reads it")
    if rule["no_zero_point"]:
        parts.append("for inputs that are never negative")
    if rule["least_channels"]:
        parts.append(f"{rule['least_channels']} channels or more")
    return ", ".join(parts)


def _range(seen: Sequence[str]) -> str:
    return " to ".join(dict.fromkeys(seen)) or "-"


def _settings(values: dict[str, Any]) -> str:
    shown = {k: v for k, v in values.items() if v is not None and v != "" and k != "name"}
    return ", ".join(f"{k.replace('_', '-')} {v}" for k, v in shown.items())
