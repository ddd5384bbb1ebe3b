"""`--budget`: what it says, and the table of what it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rewrite.cli.output import db_text
from rewrite.errors import UsageError

if TYPE_CHECKING:
    from rewrite.budget import Assignment, Budget
    from rewrite.plugin_host import PluginHost
    from rewrite.request import Request
    from rewrite.talk import Talk

_HEAD = ("layer", "precision", "weights", "costs", "all weights", "outputs")


def read_budget(ctx: click.Context, param: click.Parameter, value: str | None) -> Budget | None:
    """Read `35dB`, `12MB`, `0.3x`, or one of quality and one of size."""
    from rewrite.budget import Budget

    try:
        return None if value is None else Budget.parse(value)
    except UsageError as error:
        raise click.BadParameter(f"{error.what} (write it like {error.hint})", ctx, param) from None


def within_budget(request: Request, host: PluginHost, talk: Talk, budget: Budget) -> Assignment:
    """Find the overrides that meet a budget, and show them before they are applied."""
    from rewrite.budget_search import meet_budget
    from rewrite.job import choose_passes

    if budget.has_size and request.output is not None and request.output.suffix == ".pt2":
        raise UsageError(
            "a budget of size is for ONNX files", hint="-o NAME.onnx, or a budget in dB"
        )
    found = meet_budget(request, choose_passes(host, request), host, talk, budget)
    for line in _table(found):
        talk.step(line)
    return found


def _table(found: Assignment) -> list[str]:
    """Return one line for each layer that changes, and one for all together."""
    from rewrite.budget import show_bytes

    rows = [_HEAD] if found.changes else []
    rows += [
        (
            each.layer,
            f"{each.before} → {each.after}",
            f"{show_bytes(each.bytes_before)} → {show_bytes(each.bytes_after)}",
            db_text(each.cost_db),
            show_bytes(each.expected_bytes),
            db_text(each.expected_db),
        )
        for each in found.changes
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))] if rows else []
    lines = [
        "  " + "  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    sizes = f"{show_bytes(found.start_bytes)} before, {show_bytes(found.reached_bytes)} now"
    ratios = f"{db_text(found.start_db)} before, {db_text(found.reached_db)} now"
    return [*lines, f"budget: outputs {ratios}; weights {sizes}"]
