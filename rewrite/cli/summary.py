"""The summary of a compilation, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewrite.cli.output import db_text, say, show_table, size_text
from rewrite.kernel_counts import run_text

if TYPE_CHECKING:
    from rewrite.artifact import Artifact
    from rewrite.budget import Assignment
    from rewrite.request import Result

_SHOWN_FALLBACKS = 8
_SHOWN_REASONS = 4
_LOW_SQNR = 20.0
"""In dB. Below it, an error of a tenth of the output, classes begin to change."""


_LEGEND = "signal over error of the worst output: 20 is an error of 10 %, 40 of 1 %"

_HIDDEN = 6.0
"""In dB. A batch that agrees so much less than all together has twice their relative error."""


def show_summary(
    result: Result, recipe: Path | None = None, budget: Assignment | None = None
) -> None:
    """Print what was written, what it scores, how it agrees and how fast it is."""
    artifact = result.artifact
    if artifact is None:
        changed = sum(r.outcome.rewrites for r in result.reports)
        say(f"dry run: {changed} rewrites by {len(result.reports)} passes, nothing written")
    rows = list(_file(result, artifact)) if artifact else []
    rows += _loss(result, budget)
    for place, (name, values) in enumerate(result.as_json()["runtimes"].items()):
        # The first one decides; what another makes of the file is told, not what would mend it.
        rows += runtime_rows(f"{name} {values['version']}", values, reasons=place == 0)
    rows += _left_float(result)
    if any(" dB" in text for _, text in rows):
        rows.append(("dB", _LEGEND))
    if artifact:
        rows += _latency(artifact.latency, artifact.spread)
    rows += [("warning", text) for text in result.warnings]
    if recipe is not None:
        rows.append(("recipe", str(recipe)))
    summary = result.as_json()
    rows.append(
        ("cost", f"{summary['seconds']:.1f} s, peak memory {summary['peak_rss_mb']:.0f} MB")
    )
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        say(f"{name:<{width}}  {text}".rstrip())
    show_metrics(result.metrics)


def show_metrics(metrics: Mapping[str, Mapping[str, float]]) -> None:
    """Print one row per metric, one column per way of running the model."""
    columns = [name for name, values in metrics.items() if values]
    if not columns:
        return
    names = list(dict.fromkeys(key for column in columns for key in metrics[column]))
    say()
    show_table(
        ("metric", *columns),
        [(n, *(_number(metrics[c].get(n)) for c in columns)) for n in names],
    )


def runtime_rows(
    name: str, values: Mapping[str, Any], reasons: bool = True
) -> Iterator[tuple[str, str]]:
    """Return what one runtime made of the file: agreement, int8 kernels, fallbacks."""
    against = "as simulated" if "against_model" in values else "as the model"
    found = values["agreement"]
    yield name, _agreement(found, against) if found else "did not run the file"
    for what, words in (("other_sizes", "at other sizes"), ("against_model", "as the model")):
        if values.get(what):
            yield "", f"{words} {_agreed(values[what])}"
    if values.get("problem"):
        yield "", f"do not use it with the file: {values['problem']}"
    int8 = values["int8"]
    if reasons:
        wide = Counter(e["reason"] for e in int8["float"] if "is quantized to" in e["reason"])
        for reason, count in wide.items():
            yield "", f"{'1 node runs' if count == 1 else f'{count} nodes run'} in float: {reason}"
    if not int8["eligible"] and not int8["in_int8"]:
        return
    fallbacks = int8["fallbacks"]
    told = run_text(int8)
    yield "", told if reasons or not fallbacks else f"{told}; why not all: see --json"
    shown = fallbacks[:_SHOWN_FALLBACKS] if reasons else []
    for entry in shown:
        yield "", f"  not {entry['node']}: {entry['reason']}"
    if shown and len(fallbacks) > len(shown):
        yield "", f"  and {len(fallbacks) - len(shown)} more: see --json"


def _file(result: Result, artifact: Artifact) -> Iterator[tuple[str, str]]:
    opset = f", opset {artifact.opset}, target {result.target}" if artifact.opset else ""
    yield "wrote", f"{artifact.path} ({size_text(artifact.size)}{opset})"


def _loss(result: Result, budget: Assignment | None) -> Iterator[tuple[str, str]]:
    """Return what the lossy passes cost; the exact ones were held to be so.

    A budget measures on other inputs than the checks of the passes, so its number is beside theirs.
    """
    if result.loss is None or all(report.pass_.equivalence == "exact" for report in result.reports):
        return
    values = result.loss.as_json()
    if values["max_abs"] is None:
        yield "outputs", "infinities or NaN where the model has none"
        return
    sqnr = values["sqnr_db"]
    told = "the model's" if sqnr is None else f"{sqnr:.1f} dB SQNR against the model's"
    yield "outputs", f"{told}{_inside(values)}, on the inputs of the checks"
    if budget is not None:
        yield "", f"{db_text(budget.reached_db)} on those that --budget measures"
    for text in _integers(values):
        yield "", text
    if sqnr is not None and sqnr < _LOW_SQNR:
        file = result.artifact.path if result.artifact and result.artifact.opset else None
        what = f"{file} --against {result.model}" if file else result.model
        yield "", f"which layers cost it: rewrite inspect {what}"


def _left_float(result: Result) -> Iterator[tuple[str, str]]:
    """Return what was not quantized, and why: the most frequent reasons first."""
    quantizing = [report for report in result.reports if report.pass_.precisions]
    counts = Counter(r.reason for report in quantizing for r in report.outcome.rejected)
    for number, (reason, count) in enumerate(counts.most_common(_SHOWN_REASONS)):
        layers = "1 layer" if count == 1 else f"{count} layers"
        yield "" if number else "left float", f"{layers}: {reason}"
    if len(counts) > _SHOWN_REASONS:
        yield "", "and for other reasons: see rewrite explain"


def _agreement(values: Mapping[str, Any], against: str) -> str:
    parts = [f"{against} {_agreed(values)}"]
    if values.get("top1_percent") is not None:
        parts.append(f"top-1 {values['top1_percent']:.2f} %")
    layers = values.get("layers")
    if layers and layers["compared"]:
        steps = layers["max_lsb"]
        within = f"within {steps} step{'' if steps == 1 else 's'}" if steps else "equal"
        parts.append(f"{layers['compared']} of {layers['total']} layers {within}")
    return ", ".join(parts)


def _agreed(values: Mapping[str, Any]) -> str:
    """Say how near outputs are, and where they are not."""
    if values["max_abs"] is None:
        return "nowhere: infinities or NaN are in other places"
    sqnr = values["sqnr_db"]
    parts = [f"to {sqnr:.1f} dB" if sqnr is not None else "exactly"]
    parts[0] += _inside(values)
    parts += _worst_batch(values)
    parts += _integers(values)
    slots = values.get("slots")
    if slots:
        parts.append(f"{slots['found']} of {slots['total']} sorted slots are in both")
    return ", ".join(parts)


def _inside(values: Mapping[str, Any]) -> str:
    """Return the output that decides, where there are several."""
    return f" in '{values['output']}'" if values["output"] else ""


def _integers(values: Mapping[str, Any]) -> list[str]:
    """Return how many integers agree, where not all of them do: they have no SQNR."""
    found = values["integers"]
    if not found or found["equal_percent"] == 100:
        return []
    inside = _inside(found)
    return [f"{found['equal_percent']:.2f} % of the integers{inside} equal"]


def _worst_batch(values: Mapping[str, Any]) -> list[str]:
    """Return the batch that agrees least, where the others hide it."""
    worst, together = values["worst_batch"], values["sqnr_db"]
    if not worst or together is None or worst["sqnr_db"] is None:
        return []
    if worst["sqnr_db"] > together - _HIDDEN:
        return []
    return [f"{worst['name']} to {worst['sqnr_db']:.1f} dB{_inside(worst)}"]


def _latency(
    values: Mapping[str, float | None], spread: Mapping[str, tuple[float, ...]]
) -> Iterator[tuple[str, str]]:
    before, after = values["float"], values["deployed"]
    if before and after:
        told = {
            name: f"{value:.3f} ms ({spread[name][0]:.3f} to {spread[name][-1]:.3f})"
            for name, value in (("deployed", after), ("float", before))
        }
        ratio = before / after
        text = f"{told['deployed']}, float {told['float']}: {ratio:.2f} times as fast"
        yield "latency", text


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"
