"""`rewrite check`: run a file beside its model, or hold it to the rules of a target."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rewrite.cli import failures
from rewrite.cli.console import working
from rewrite.cli.options import json_option, make_host, plugin_options, talk_options
from rewrite.cli.output import say, show_json
from rewrite.cli.summary import runtime_rows, show_metrics
from rewrite.errors import CheckError, UsageError

if TYPE_CHECKING:
    from rewrite.recheck import FileCheck, RuleCheck


@click.command("check", short_help="Compare an ONNX file with its model, or with a target.")
@click.argument("file", metavar="OUT.onnx")
@click.option("--against", "model", metavar="MODEL", help="The model it was made from.")
@click.option("--target", metavar="NAME", help="Hold the file to the written rules of a target.")
@click.option(
    "--min-sqnr",
    type=float,
    metavar="DB",
    help="Smallest agreement of any output with the eager model, on any batch.  "
    "[default: 10 if quantized, 40 if float16, else 60]",
)
@click.option("--threads", type=click.IntRange(0), default=0, help="Threads of the runtimes.")
@plugin_options
@json_option
@talk_options
def check(file: str, model: str | None, target: str | None, **given: Any) -> None:
    """Run OUT.onnx beside the eager MODEL, or hold it to what is written of a target.

    With --against it runs on every installed runtime: prints agreement on the example and
    calibration inputs, which nodes run in int8, the ledger kept in the file, and the metrics of the
    model's evaluate(). With --target nothing runs: prints each node that breaks a rule and what to
    change. Exits with 1 if the file disagrees or breaks a rule.
    """
    if model is None and target is None:
        raise UsageError("check the file against what?", hint="--against MODEL, or --target NAME")
    with working(quiet=given["quiet"], verbose=given["verbose"]) as talk:
        host = make_host(given["plugin_files"], given["block"])
        from rewrite.job import find_model
        from rewrite.recheck import check_file, check_rules

        rules = check_rules(Path(file), host.find_target(target)) if target else None
        found = model and check_file(
            Path(file),
            find_model(host, model),
            talk,
            floor=given["min_sqnr"],
            threads=given["threads"],
        )
    failures_found = [each.failure for each in (rules, found) if each and each.failure]
    failure = failures_found[0] if failures_found else None
    if given["as_json"]:
        value = _as_json(found, model) if found else {"file": file, "ok": True}
        show_json({**value, **(_rules_json(rules) if rules else {}), **_verdict(failure)})
    else:
        _show_all(rules, found or None)
    if failure is not None:
        click.get_current_context().exit(failures.tell(failure))


def _verdict(failure: CheckError | None) -> dict[str, Any]:
    if failure is None:
        return {"ok": True}
    return {"ok": False, "error": failures.error_json(failure)}


def _rules_json(found: RuleCheck) -> dict[str, Any]:
    return {
        "target": found.target.name,
        "rules": [rule.name for rule in found.rules],
        "violations": [asdict(violation) for violation in found.violations],
    }


def _show_all(rules: RuleCheck | None, found: FileCheck | None) -> None:
    if rules is not None:
        kept = len(rules.rules) - len({v.rule for v in rules.violations})
        say(f"{rules.target.name}: {kept} of {len(rules.rules)} rules are kept")
        for violation in rules.violations:
            say(f"  {violation}")
    if found is not None:
        _show(found)


def _as_json(found: FileCheck, model: str | None) -> dict[str, Any]:
    return {
        "file": str(found.path),
        "model": model,
        "quantized": found.quantized,
        "min_sqnr_db": found.floor,
        "made_by": {k: v for k, v in found.metadata.items() if k not in ("ledger", "metrics")},
        "ledger": found.metadata.get("ledger", []),
        "runtimes": {r.name: r.as_json() for r in found.runtimes},
        "metrics": found.metrics,
        "recorded_metrics": found.metadata.get("metrics", {}),
    }


def _show(found: FileCheck) -> None:
    made = found.metadata
    by = f"rewrite {made['version']} from {made.get('model')}" if "version" in made else "unknown"
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
        say(f"{name:<{width}}  {text}".rstrip())
    show_metrics(found.metrics)
