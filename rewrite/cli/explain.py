"""`rewrite explain`: why a pass did not fire where it could have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from rewrite.cli.console import working
from rewrite.cli.options import (
    json_option,
    make_host,
    make_request,
    make_run,
    pass_options,
    plugin_options,
    run_options,
    talk_options,
)
from rewrite.cli.output import say, show_json
from rewrite.errors import UsageError

if TYPE_CHECKING:
    from rewrite.passes import Rejection
    from rewrite.pipeline import PassReport


@click.command("explain", short_help="Say why passes did not fire, at which line of yours.")
@click.argument("model", metavar="MODEL")
@pass_options
@run_options
@plugin_options
@json_option
@talk_options
def explain(model: str, **given: Any) -> None:
    """Run passes on MODEL and print every place where one could have fired and did not.

    Places are grouped by pass and reason, each with its node and the line of your source.
    """
    if given["passes"] is None and not given["preset"]:
        raise UsageError(
            "which passes are to be explained?",
            hint="--passes NAME,NAME or --preset NAME (see: rewrite passes)",
        )
    with working(quiet=given["quiet"], verbose=given["verbose"]) as talk:
        from rewrite.compile import explain_model

        request = make_request(
            model,
            passes=given["passes"],
            preset=given["preset"],
            target=given["target"],
            **make_run(given),
        )
        host = make_host(given["plugin_files"], given["block"])
        result = explain_model(request, host, talk)
    value = [_explained(report) for report in result.reports]
    layout = [_explained(report) for report in result.legalizations]
    if given["as_json"]:
        show_json({"model": model, "passes": value, "legalize": layout})
        return
    for entry in value:
        _show(entry)
    # A list of passes is asked about by itself; a preset or a target is about the whole file.
    asked = given["preset"] or given["target"]
    layout = [entry for entry in layout if asked and (entry["rewrites"] or entry["declined"])]
    if layout:
        say(f"\nfor the layout that target '{request.target}' wants:")
    for entry in layout:
        _show(entry)


def _explained(report: PassReport) -> dict[str, Any]:
    outcome = report.outcome
    groups: dict[str, list[Rejection]] = {}
    for rejection in outcome.rejected:
        groups.setdefault(rejection.reason, []).append(rejection)
    return {
        "name": report.pass_.name,
        "rewrites": outcome.rewrites,
        "notes": outcome.sentences,
        "declined": [{"reason": r, "places": _places(found)} for r, found in groups.items()],
    }


def _places(found: Sequence[Rejection]) -> list[dict[str, str]]:
    """Return each node once; several rules may have declined it for one reason."""
    places = {r.node: {"node": r.node, "rule": r.rule, "where": r.where} for r in found}
    return list(places.values())


def _show(entry: dict[str, Any]) -> None:
    count = sum(len(group["places"]) for group in entry["declined"])
    fired = f"{entry['rewrites']} rewrite{'' if entry['rewrites'] == 1 else 's'}"
    say(f"{entry['name']}: {fired}, {count} declined")
    for note in entry["notes"]:
        say(f"  note: {note}")
    for group in entry["declined"]:
        say(f"  {group['reason']}")
        width = max(len(place["node"]) for place in group["places"])
        for place in group["places"]:
            where = place["where"] or "(no source line recorded)"
            say(f"    {place['node']:<{width}}  {where}")
