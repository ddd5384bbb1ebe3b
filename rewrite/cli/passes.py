"""`rewrite passes`: what can be asked for with --passes and --preset."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import click

from rewrite.cli.console import working
from rewrite.cli.options import json_option, make_host, plugin_options, talk_options
from rewrite.cli.output import say, show_json, show_table

if TYPE_CHECKING:
    from rewrite.options import OptionInfo
    from rewrite.passes import Pass
    from rewrite.plugin_host import PluginHost


@click.command("passes", short_help="List the passes and presets, or describe one pass.")
@click.argument("name", required=False)
@plugin_options
@json_option
@talk_options
def passes(name: str | None, **given: Any) -> None:
    """List all passes and presets; with NAME, describe one pass and its options."""
    with working(quiet=given["quiet"], verbose=given["verbose"]):
        host = make_host(given["plugin_files"], given["block"])
        value = _one(host, name) if name else _all(host)
    if given["as_json"]:
        show_json(value)
    elif name:
        _show_one(value)
    else:
        _show_all(value)


def _all(host: PluginHost) -> dict[str, Any]:
    return {
        "passes": [_brief(host, p) for p in host.passes().values()],
        "presets": [
            {
                "name": p.name,
                "summary": p.summary,
                "passes": list(p.passes),
                "distribution": host.origin("preset", p.name),
            }
            for p in host.presets().values()
        ],
    }


def _brief(host: PluginHost, found: type[Pass]) -> dict[str, Any]:
    return {
        "name": found.name,
        "equivalence": found.equivalence,
        "summary": found.summary(),
        "distribution": host.pass_origin(found.name),
    }


def _one(host: PluginHost, name: str) -> dict[str, Any]:
    from rewrite.options import describe_options

    found = host.find_pass(name)
    brief = _brief(host, found)
    if found.equivalence == "approximate":
        brief["bound"] = found.bound
    return {
        **brief,
        "docs": inspect.cleandoc(found.__doc__ or ""),
        "requires": list(found.requires),
        "after": list(found.after),
        "before": list(found.before),
        "preserves": list(found.preserves),
        "options": [_option(o) for o in describe_options(found)],
    }


def _option(info: OptionInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "type": info.type,
        "default": info.default,
        "low": info.low,
        "high": info.high,
        "help": info.help,
    }


def _show_all(value: dict[str, Any]) -> None:
    show_table(
        ("pass", "equivalence", "from", "summary"),
        [(p["name"], p["equivalence"], p["distribution"], p["summary"]) for p in value["passes"]],
    )
    say()
    show_table(
        ("preset", "passes", "summary"),
        [(p["name"], ", ".join(p["passes"]), p["summary"]) for p in value["presets"]],
    )


def _show_one(value: dict[str, Any]) -> None:
    bound = f", relative error under {value['bound']:g}" if "bound" in value else ""
    say(f"{value['name']} ({value['equivalence']}{bound}), from {value['distribution']}")
    say(f"\n{value['docs']}\n")
    for key in ("requires", "after", "before"):
        if value[key]:
            say(f"{key}: {', '.join(value[key])}")
    if not value["options"]:
        say("options: none")
        return
    show_table(
        ("option", "type", "default", "range", "help"),
        [
            (o["name"], o["type"], _default(o["default"]), _range(o), o["help"])
            for o in value["options"]
        ],
    )
    first = value["options"][0]
    say(f"\nwrite: --passes {value['name']}{{{first['name']}=...}}")


def _default(value: Any) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "+".join(str(v) for v in value) if isinstance(value, tuple) else str(value)


def _range(option: dict[str, Any]) -> str:
    low, high = option["low"], option["high"]
    if low is None and high is None:
        return "any"
    if high is None:
        return f"from {low:g}"
    return f"up to {high:g}" if low is None else f"{low:g} to {high:g}"
