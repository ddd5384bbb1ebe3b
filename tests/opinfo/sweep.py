"""The whole operator database, by outcome: python -m tests.opinfo.sweep

--part 0/2              every second entry, for two processes side by side
--results FILE          one line of JSON an entry; entries that are there are not run again
--only NAME             entries whose name has NAME in it
--table FILE...         print the table of results that are there, as benchmarks/opinfo.md
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import torch

from .judge import OUTCOMES, RUNTIMES, judge
from .samples import DRAWS, entries

_SHOWN = 90


def main() -> None:
    """Run the sweep, or print its table."""
    options = _options()
    if options.table:
        print(table([_read(path) for path in options.table]))
        return
    torch.set_num_threads(1)
    done = {row["entry"] for row in _read(options.results)}
    part, parts = map(int, options.part.split("/"))
    for number, entry in enumerate(entries()):
        name = entry.formatted_name
        if number % parts != part or name in done or options.only not in name:
            continue
        started = time.perf_counter()
        row = judge(entry, options.samples, options.preset, options.target)
        row.update(
            preset=options.preset,
            target=options.target,
            seconds=round(time.perf_counter() - started, 2),
        )
        with options.results.open("a") as out:
            print(json.dumps(row), file=out)
        print(f"{row['outcome']:<20} {row['entry']:<40} {row['reason'][:_SHOWN]}", flush=True)


def table(results: list[list[dict[str, Any]]]) -> str:
    """Return the outcomes by preset, and every entry that does not agree with its reason."""
    by_preset: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in (row for rows in results for row in rows):
        by_preset[f"{row['target']}, {row['preset']}"].append(row)
    lines = ["# PyTorch's operator database, by outcome", "", _introduction(), ""]
    lines += _counts(by_preset)
    for preset, rows in by_preset.items():
        for outcome in OUTCOMES[:-1]:
            chosen = sorted((r for r in rows if r["outcome"] == outcome), key=lambda r: r["entry"])
            if chosen:
                lines += [
                    "",
                    f"## {preset}: {outcome}",
                    "",
                    "| entry | samples that agree | reason |",
                ]
                lines += ["|---|---|---|", *map(_row, chosen)]
    return "\n".join(lines)


def _introduction() -> str:
    return (
        "Entries of `torch.testing._internal.common_methods_invocations.op_db` that take float32,\n"
        "each compiled for a target and run on its runtime beside PyTorch, with the example's\n"
        f"values and others of the same shapes ({DRAWS} draws; the edges of elementwise functions\n"
        "too). An entry agrees when all its samples do. Written by\n"
        "`python -m tests.opinfo.sweep --samples 2 --target T --preset P --results FILE` and\n"
        "`--table FILE...`, mended entries run again."
    )


def _counts(by_preset: dict[str, list[dict[str, Any]]]) -> list[str]:
    lines = ["| outcome | " + " | ".join(by_preset) + " |", "|---" * (len(by_preset) + 1) + "|"]
    counts = {preset: Counter(r["outcome"] for r in rows) for preset, rows in by_preset.items()}
    for outcome in reversed(OUTCOMES):
        lines.append(
            f"| {outcome} | " + " | ".join(str(c[outcome]) for c in counts.values()) + " |"
        )
    parts = [sum(0 < r["agreeing"] < r["samples"] for r in rows) for rows in by_preset.values()]
    lines.append("| of these, some samples agree | " + " | ".join(map(str, parts)) + " |")
    lines.append("| entries | " + " | ".join(str(len(r)) for r in by_preset.values()) + " |")
    return lines


def _row(row: dict[str, Any]) -> str:
    reason = re.sub(r"[|`]", "", row["reason"])
    return f"| `{row['entry']}` | {row['agreeing']} of {row['samples']} | {reason[:_SHOWN]} |"


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.opinfo.sweep")
    parser.add_argument("--part", default="0/1", help="I/N: every N-th entry from the I-th")
    parser.add_argument("--samples", type=int, default=3, help="samples an entry")
    parser.add_argument("--preset", default="float", choices=["float", "int8"])
    parser.add_argument("--target", default="ort-x64", choices=list(RUNTIMES))
    parser.add_argument("--results", type=Path, default=Path("opinfo.jsonl"))
    parser.add_argument("--only", default="", help="entries whose name has this in it")
    parser.add_argument("--table", type=Path, nargs="+", help="results to print the table of")
    return parser.parse_args()


if __name__ == "__main__":
    main()
