"""The command: `python -m tests.fuzz --seeds 0-99`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from .differential import BAD, PRESETS, SUSPICIOUS, TARGETS, Finding
from .generate import generate
from .printing import print_model
from .sweep import cases, sweep
from .table import table


def main() -> int:
    """Try the seeds that are asked for; return 1 when something is wrong or crashed."""
    asked = _arguments()
    low, _, high = asked.seeds.partition("-")
    seeds = range(int(low), int(high or low) + 1)
    todo = list(cases(seeds, asked.targets.split(","), asked.presets.split(","), asked.every))
    keep = Path(asked.keep)
    findings = sweep(todo, keep / "results.jsonl", asked.jobs, _Progress(asked.verbose))
    command = f"python -m tests.fuzz {' '.join(sys.argv[1:])}"
    text = table(findings, command)
    if asked.out:
        Path(asked.out).write_text(text, encoding="utf-8")
    print(text)
    bad = [f for f in findings if f.outcome in BAD]
    for found in [*bad, *(f for f in findings if f.outcome == SUSPICIOUS)]:
        path = keep / f"seed_{found.seed}.py"
        path.write_text(print_model(generate(found.seed)), encoding="utf-8")
    if asked.shrink:
        _shrink(bad, keep)
    return 1 if bad else 0


def _shrink(findings: list[Finding], keep: Path) -> None:
    from .shrink import shrink

    for found in {f.kind: f for f in reversed(findings)}.values():
        small = shrink(generate(found.seed), found.target, found.preset, found.kind)
        path = keep / f"small_{found.seed}_{found.target}_{found.preset}.py"
        path.write_text(print_model(small), encoding="utf-8")
        print(f"{path}: {found.reason}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seeds", default="0-99", help="first-last")
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--presets", default=",".join(PRESETS))
    parser.add_argument("--every", action="store_true", help="all pairs for each seed, not one")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--keep", default="fuzz-found", help="folder of results; a run goes on")
    parser.add_argument("--out", help="write the table here too")
    parser.add_argument("--shrink", action="store_true", help="make small model files of faults")
    parser.add_argument("--verbose", action="store_true", help="a line for each case")
    return parser.parse_args()


class _Progress:
    """Says how far a sweep is, on stderr."""

    def __init__(self, verbose: bool) -> None:
        self.verbose, self.started = verbose, time.perf_counter()

    def __call__(self, done: int, of: int, found: Finding) -> None:
        if self.verbose or found.outcome in (*BAD, SUSPICIOUS):
            what = f"seed {found.seed}, {found.target}, {found.preset}: {found.outcome}"
            print(f"[{done}/{of}] {what} {found.reason[:200]}", file=sys.stderr, flush=True)
        elif done % 50 == 0:
            spent = time.perf_counter() - self.started
            print(f"[{done}/{of}] {spent:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
