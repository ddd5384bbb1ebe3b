"""Accuracy of every zoo model at several precisions, on its held-out split, as simulated.

Before any outlier pass or reconstruction: rounding to nearest, min-max calibration. With --write
the table is written to benchmarks/precision.md.

    python benchmarks/bench_precision.py [MODEL ...] [--write]
"""

import argparse
import sys
from pathlib import Path

from rewrite.compile import rewrite_model
from rewrite.job import find_model
from rewrite.pass_spec import parse_passes
from rewrite.plugin_host import PluginHost
from rewrite.request import Request

FLOAT = "fold-batch-norm,remove-dead-code,expand-attention,convolve-batch-norm"
BLOCKS = "quantize-weights{bits=4,block=32,search=no}"
PRECISIONS = {
    "float": FLOAT,
    "W8A8": f"{FLOAT},insert-quantizers{{bits=w8a8}},calibrate",
    "W6A6": f"{FLOAT},insert-quantizers{{bits=w6a6}},calibrate",
    "W4A8": f"{FLOAT},insert-quantizers{{bits=w4a8}},calibrate",
    "W4A8 (block)": f"{FLOAT},{BLOCKS},insert-quantizers{{bits=w4a8}},calibrate",
    "W4A4": f"{FLOAT},insert-quantizers{{bits=w4a4}},calibrate",
}
TARGET = "portable"
TABLE = Path(__file__).with_name("precision.md")
HEAD = """\
# Precision

Held-out metrics of the zoo, simulated with the arithmetic of the file (target `portable`): rounding
to nearest, min-max calibration, no outlier pass and no reconstruction. Weights have a scale per
output channel; `W4A8 (block)` has one per 32 inputs in linear layers, and per channel in
convolutions. Perplexity: lower is better. `python benchmarks/bench_precision.py --write` writes
this page.

"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--write", action="store_true", help=f"Write {TABLE.name}.")
    arguments = parser.parse_args()
    host = PluginHost()
    names = arguments.models or sorted(host.models())
    lines = [f"| model | metric | {' | '.join(PRECISIONS)} |", f"|---{'|---' * 7}|"]
    for name in names:
        lines.append(row(host, name))
        print(lines[-1], file=sys.stderr)
    table = "\n".join(lines) + "\n"
    if arguments.write:
        TABLE.write_text(HEAD + table, encoding="utf-8")
    print(table)


def row(host, name):
    evaluate = find_model(host, f"zoo:{name}").evaluate
    cells = []
    for passes in PRECISIONS.values():
        request = Request(f"zoo:{name}", passes=tuple(parse_passes(passes)), target=TARGET)
        ((metric, value),) = evaluate(rewrite_model(request, host).program).items()
        cells.append(f"{value:.2f}")
    return f"| {name} | {metric} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
