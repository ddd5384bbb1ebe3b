"""What a sweep found, as a page: outcomes by target, and refusals by reason."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from .differential import AGREES, BAD, CRASH, REFUSED, SUSPICIOUS, TOLD, WRONG, Finding

_ABOUT = """\
Each seed is one model, one target and one preset in turn; the file is run on values, edges, sizes
and batches that it was not compiled with. For `qnn` nothing runs files here but ONNX Runtime; what
breaks QNN's rules is told. *Suspicious*: other values of the inputs keep far fewer dB than the
calibration data."""

_OUTCOMES = (AGREES, TOLD, REFUSED, SUSPICIOUS, WRONG, CRASH)


def table(findings: list[Finding], command: str) -> str:
    """Return Markdown."""
    lines = ["# What the fuzzer found", "", f"`{command}`", "", _ABOUT, "", *_outcomes(findings)]
    for title, outcomes in (("Wrong or crashed", BAD), ("Suspicious", (SUSPICIOUS,))):
        chosen = [f for f in findings if f.outcome in outcomes]
        lines += ["", f"## {title}", "", *(_rows(chosen) or ["None."])]
    chosen = [f for f in findings if f.outcome in (REFUSED, TOLD)]
    lines += ["", "## Refused, by reason", "", _lines_named(chosen), "", *_reasons(chosen)]
    return "\n".join(lines) + "\n"


def _outcomes(findings: list[Finding]) -> list[str]:
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for found in findings:
        counts[found.target, found.preset][found.outcome] += 1
    lines = ["| target | preset | " + " | ".join(_OUTCOMES) + " | compared |"]
    lines.append("|---" * (len(_OUTCOMES) + 3) + "|")
    total: Counter[str] = Counter()
    for (target, preset), count in sorted(counts.items()):
        runs = sum(f.runs for f in findings if (f.target, f.preset) == (target, preset))
        cells = " | ".join(str(count[o]) for o in _OUTCOMES)
        lines.append(f"| {target} | {preset} | {cells} | {runs} |")
        total += count
    cells = " | ".join(str(total[o]) for o in _OUTCOMES)
    lines.append(f"| all | | {cells} | {sum(f.runs for f in findings)} |")
    return lines


def _rows(findings: Iterable[Finding]) -> list[str]:
    return [f"- seed {f.seed}, {f.target}, {f.preset}: {f.outcome}: {f.reason}" for f in findings]


def _lines_named(findings: list[Finding]) -> str:
    named = sum(names_a_line(f) for f in findings)
    return f"{named} of {len(findings)} name a line of the model."


def names_a_line(found: Finding) -> bool:
    """Tell whether a refusal points into the model file."""
    return f"seed_{found.seed}.py:" in f"{found.where} {found.reason}"


def _reasons(findings: list[Finding]) -> list[str]:
    groups: dict[str, list[Finding]] = defaultdict(list)
    for found in findings:
        groups[found.kind].append(found)
    lines = ["| times | with a line | reason | such as |", "|---|---|---|---|"]
    for kind, members in sorted(groups.items(), key=lambda g: -len(g[1])):
        first = members[0]
        example = f"seed {first.seed}, {first.target}, {first.preset}"
        named = sum(names_a_line(f) for f in members)
        lines.append(f"| {len(members)} | {named} | {kind.replace('|', '/')} | {example} |")
    return lines
