"""`rewrite show`: the program as text, before or after passes."""

from __future__ import annotations

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
    from rewrite.request import Result


@click.command("show", short_help="Print a model's program, or what passes change in it.")
@click.argument("model", metavar="MODEL")
@pass_options
@run_options
@click.option("--diff", is_flag=True, help="Print what the passes change instead.")
@plugin_options
@json_option
@talk_options
def show(model: str, diff: bool, **given: Any) -> None:
    """Print MODEL as captured, or as the passes leave it."""
    chosen = given["passes"] is not None or given["preset"]
    if diff and not chosen:
        raise UsageError("--diff compares before and after passes", hint="add --passes or --preset")
    with working(quiet=given["quiet"], verbose=given["verbose"]) as talk:
        from rewrite.compile import rewrite_model

        request = make_request(
            model,
            passes=given["passes"] if chosen else "",
            preset=given["preset"],
            target=given["target"],
            **make_run(given),
        )
        host = make_host(given["plugin_files"], given["block"])
        result = rewrite_model(request, host, talk)
    text = _text(result, diff=diff)
    if given["as_json"]:
        passes = [r.as_json() for r in result.reports]
        show_json({"model": model, "passes": passes, "diff" if diff else "program": text})
    else:
        say(text.rstrip("\n") or "the passes change nothing")


def _text(result: Result, *, diff: bool) -> str:
    from rewrite.printer import diff_programs

    assert result.captured is not None and result.program is not None
    if diff:
        return diff_programs(result.captured, result.program)
    return result.program.text()
