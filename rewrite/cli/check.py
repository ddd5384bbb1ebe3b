"""`rewrite check`: run a file beside the model it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rewrite.cli import failures
from rewrite.cli.console import working
from rewrite.cli.options import json_option, make_host, plugin_options, talk_options
from rewrite.cli.output import show_json
from rewrite.cli.summary import runtime_rows, show_metrics

if TYPE_CHECKING:
    from rewrite.recheck import FileCheck


@click.command("check", short_help="Compare an ONNX file with its model on real runtimes.")
@click.argument("file", metavar="OUT.onnx")
@click.option(
    "--against", "model", required=True, metavar="MODEL", help="The model it was made from."
)
@click.option(
    "--min-sqnr",
    type=float,
    metavar="DB",
    help="Smallest agreement with the eager model.  [default: 10 if quantized, 60 if not]",
)
@click.option("--threads", type=click.IntRange(0), default=0, help="Threads of the runtimes.")
@plugin_options
@json_option
@talk_options
def check(file: str, model: str, **given: Any) -> None:
    """Run OUT.onnx on every installed runtime and compare it with the eager MODEL.

    Prints agreement on the example and calibration inputs, which nodes run in int8, the ledger
    kept in the file, and the metrics of the model's evaluate(). Exits with 1 if it disagrees.
    """
    with working(quiet=given["quiet"], verbose=given["verbose"]) as talk:
        from rewrite.compile import find_model
        from rewrite.recheck import check_file

        description = find_model(make_host(given["plugin_files"], given["block"]), model)
        found = check_file(
            Path(file), description, talk, floor=given["min_sqnr"], threads=given["threads"]
        )
    if given["as_json"]:
        show_json(_as_json(found, model))
    else:
        _show(found)
    if found.failure is not None:
        click.get_current_context().exit(failures.tell(found.failure))


def _as_json(found: FileCheck, model: str) -> dict[str, Any]:
    value: dict[str, Any] = {
        "file": str(found.path),
        "model": model,
        "ok": found.failure is None,
        "quantized": found.quantized,
        "min_sqnr_db": found.floor,
        "made_by": {k: v for k, v in found.metadata.items() if k not in ("ledger", "metrics")},
        "ledger": found.metadata.get("ledger", []),
        "runtimes": {r.name: r.as_json() for r in found.runtimes},
        "metrics": found.metrics,
        "recorded_metrics": found.metadata.get("metrics", {}),
    }
    if found.failure is not None:
        value["error"] = failures.error_json(found.failure)
    return value


def _show(found: FileCheck) -> None:
    made = found.metadata
    by = f"rewrite {made['version']} from {made['model']}" if "version" in made else "unknown"
    kind = "quantized" if found.quantized else "float"
    rows = [("file", f"{found.path} ({kind}, made by {by})")]
    for entry in made.get("ledger", []):
        error = entry.get("relative_error")
        measured = f", error {error:.1e}" if error is not None else ""
        rows.append(("", f"{entry['pass']}: {entry['equivalence']}{measured}"))
    for each in found.runtimes:
        rows += runtime_rows(f"{each.name} {each.version}", each.as_json())
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        click.echo(f"{name:<{width}}  {text}".rstrip())
    show_metrics(found.metrics)
