"""The results of the sweep as a page: counts, then whatever does not agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from .judge import FLOOR, OTHERS, OUTCOMES

_SHOWN = 160
_SAID = ("wrong", "crash", "slow", "suspicious", "refused")
"""Outcomes whose architectures are listed with what was said of each."""


def table(rows: list[dict[str, Any]]) -> str:
    """Return the outcomes by preset, and each that does not agree with its reason."""
    by_preset: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_preset[row["preset"]].append(row)
    lines = ["# Architectures of transformers, by outcome", "", _introduction(), ""]
    lines += _counts(by_preset)
    for preset, found in by_preset.items():
        for outcome in _SAID:
            lines += _section(
                f"{preset}: {outcome}", [r for r in found if r["outcome"] == outcome], "reason"
            )
        smaller = [r for r in found if r["outcome"] == "agrees" and r["notes"]]
        lines += _section(f"{preset}: agrees with fewer dynamic sizes", smaller, "notes")
    return "\n".join(lines) + "\n"


def _introduction() -> str:
    sizes = " and ".join(f"{batch} x {tokens}" for batch, tokens in OTHERS)
    return (
        "Every architecture of `transformers.AutoModel` whose default configuration can be made\n"
        "tiny and that takes inputs made for it, compiled for `portable` and run on ONNX Runtime\n"
        f"and OpenVINO beside PyTorch on other values, and at batch x tokens {sizes}. A float\n"
        f"file agrees from {FLOOR:.0f} dB on; an int8 file is *suspicious* where it keeps far "
        "less of other\nvalues than the summary claims. Written by "
        "`python -m tests.automodel.sweep --results FILE`\nand `--table FILE`."
    )


def _counts(by_preset: dict[str, list[dict[str, Any]]]) -> list[str]:
    lines = ["| outcome | " + " | ".join(by_preset) + " |", "|---" * (len(by_preset) + 1) + "|"]
    for outcome in OUTCOMES:
        numbers = [Counter(r["outcome"] for r in rows)[outcome] for rows in by_preset.values()]
        lines.append(f"| {outcome} | " + " | ".join(map(str, numbers)) + " |")
    return lines


def _section(title: str, rows: list[dict[str, Any]], what: str) -> list[str]:
    if not rows:
        return []
    lines = ["", f"## {title}", "", "| architecture | dynamic | said |", "|---|---|---|"]
    for row in sorted(rows, key=lambda r: r["architecture"]):
        said = row[what][0] if what == "notes" else row[what]
        said = said.replace("|", "/")[:_SHOWN]
        lines.append(f"| `{row['architecture']}` | {row['dynamic']} | {said} |")
    return lines
