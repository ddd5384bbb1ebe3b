"""Every architecture of AutoModel, by outcome: python -m tests.automodel.sweep

--part 0/2              every second architecture, for two processes side by side
--results FILE          one line of JSON an architecture; those that are there are not run again
--only NAME...          architectures of these names
--table FILE...         print the table of results that are there, as benchmarks/automodel.md
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import time
from pathlib import Path
from typing import Any

import torch

from .judge import judge
from .table import table
from .tiny import architectures

_SHOWN = 200


def main() -> None:
    """Run the sweep, or print its table."""
    options = _options()
    if options.table:
        print(table([row for path in options.table for row in _read(path)]))
        return
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    done = {row["architecture"] for row in _read(options.results)}
    part, parts = map(int, options.part.split("/"))
    for number, name in enumerate(architectures()):
        chosen = name in options.only if options.only else number % parts == part
        if not chosen or name in done:
            continue
        started = time.perf_counter()
        row = judge(name, options.preset)
        row.update(preset=options.preset, seconds=round(time.perf_counter() - started, 1))
        with options.results.open("a") as out:
            print(json.dumps(row), file=out)
        told = f"{row['outcome']:<10} {row['dynamic']:<13} {name:<28} {row['reason']}"
        print(told[:_SHOWN], flush=True)


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.automodel.sweep")
    parser.add_argument("--part", default="0/1", help="I/N: every N-th one from the I-th")
    parser.add_argument("--preset", default="float", choices=["float", "int8"])
    parser.add_argument("--results", type=Path, default=Path("automodel.jsonl"))
    parser.add_argument("--only", nargs="+", help="architectures of these names")
    parser.add_argument("--table", type=Path, nargs="+", help="results to print the table of")
    return parser.parse_args()


if __name__ == "__main__":
    main()
