"""Int8 files of this compiler and of its peers, on the runtimes that they are for.

Each quantizer works in a process of its own, on the same 64 samples. Then all files of a model are
timed in turns in one process, a few runs of each at a time and in an order that changes, and opened
anew a few times: where a runtime happens to place its buffers, and which file ran before, move a
time by up to 15 %. Told is the time that one run in twenty stays below. On a machine shared with
others, a file given twice has two medians or minima up to 10 % apart, and these up to 5 %.
SQNR is that of the first output against the eager model, on 16 samples that no quantizer saw.

    python benchmarks/bench_quantizers.py [MODEL ...] [--target NAME] [--rounds N] [--write]
"""

import argparse
import importlib
import json
import os
import random
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import quantizers
from common import (
    HERE,
    THREADS,
    export_float,
    feed,
    held_out,
    in_child,
    input_names,
    load,
    peak_mb,
    sqnr_db,
)
from executed import OnnxRuntimeFile, OpenVinoFile

MODELS = (
    "resnet18",
    "resnet50",
    "mobilenetv2",
    "repvgg",
    "efficientnet_lite0",
    "vit_tiny",
    "swin_tiny",
    "bert_encoder",
    "shufflenetv2",
    "mobilenetv3",
    "efficientnet_b0",
    "convnext_tiny",
    "yolo",
    "unet",
    "hifigan",
    "resnet3d",
    "lstm_tagger",
)
TARGETS = {"ort-x64": OnnxRuntimeFile, "openvino": OpenVinoFile}
BASE = "torch.onnx float"
OPENINGS = 3
SLICE_S = 0.05
REPORT = HERE / "quantizers.md"


@dataclass
class Row:
    """One file of one model."""

    label: str
    ms: float
    ratio: float
    sqnr_db: float
    int8: int
    kernels: int
    megabytes: float
    calibration_s: float | None = None
    total_s: float | None = None
    peak_mb: float | None = None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--target", action="append", choices=list(TARGETS))
    parser.add_argument("--only", action="append", choices=quantizers.NAMES)
    parser.add_argument("--rounds", type=int, default=20, help="of each opening")
    parser.add_argument("--write", action="store_true", help=f"write {REPORT.name}")
    parser.add_argument("--child", nargs=4, metavar=("QUANTIZER", "MODEL", "TARGET", "FOLDER"))
    parser.add_argument("--time", nargs=3, metavar=("MODEL", "TARGET", "FILES"))
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(quantized(*arguments.child)))
        return
    if arguments.time:
        print(json.dumps([asdict(r) for r in timed(*arguments.time, arguments.rounds)]))
        return
    for name in arguments.models:
        found = {}
        for target in arguments.target or TARGETS:
            found[target] = bench(name, target, arguments)
            print(f"\n{name}, {target}\n" + "\n".join(table(found[target])), flush=True)
        if arguments.write:
            REPORT.write_text(report(name, found, REPORT), encoding="utf-8")


def bench(name, target, arguments):
    """Return the rows of one model on one target; a quantizer that fails has none."""
    # The peers leave files in the working directory.
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        files, costs = {}, {}
        for quantizer in arguments.only or quantizers.NAMES:
            module = importlib.import_module(f"quantizers.{quantizer}")
            if name not in getattr(module, "ONLY", MODELS):
                continue
            label = module.LABEL
            place = Path(folder) / quantizer
            place.mkdir()
            try:
                made, total = in_child([__file__, "--child", quantizer, name, target, place])
            except RuntimeError as error:
                print(f"{name}, {target}: {label} failed: {error}", file=sys.stderr)
                continue
            files[label] = made["path"]
            costs[label] = {
                "calibration_s": made["seconds"],
                "total_s": total,
                "peak_mb": made["peak_mb"],
            }
        listed = Path(folder) / "files.json"
        listed.write_text(json.dumps(files))
        command = [__file__, "--time", name, target, listed, "--rounds", arguments.rounds]
        rows, _ = in_child(command)
        os.chdir(HERE)
    return [Row(**{**row, **costs.get(row["label"], {})}) for row in rows]


def quantized(quantizer, name, target, folder):
    """Run one quantizer in this process."""
    module = importlib.import_module(f"quantizers.{quantizer}")
    path, seconds = module.quantize(load(name), target, Path(folder))
    return {"path": str(path), "seconds": seconds, "peak_mb": peak_mb()}


def timed(name, target, listed, rounds):
    """Time a float file and the given ones in turns."""
    module = load(name)
    base = Path(listed).with_name("torch.onnx")
    export_float(module, base)
    names = input_names(base)
    feeds = feed(names, module.inputs())
    paths = {BASE: str(base), **json.loads(Path(listed).read_text())}
    times = {label: [] for label in paths}
    for _ in range(OPENINGS):
        opened = {label: TARGETS[target](path, THREADS) for label, path in paths.items()}
        for label, seconds in in_turns(opened, feeds, rounds).items():
            times[label] += seconds
    examples = held_out(module)
    for label, file in opened.items():
        int8, kernels = file.kernels()
        yield Row(
            label,
            quick(times[label]),
            quick(times[BASE]) / quick(times[label]),
            sqnr_db([(wanted, file.run(feed(names, batch))) for batch, wanted in examples]),
            int8,
            kernels,
            file.megabytes,
        )


def quick(times):
    """Return what one run in twenty stays below."""
    return statistics.quantiles(times, n=20)[0]


def in_turns(opened, feeds, rounds):
    """Return milliseconds of single runs of each file, each round in another order."""
    times = {label: [] for label in opened}
    order, labels = random.Random(0), list(opened)
    for _ in range(rounds):
        # The file behind a large one finds the caches full of it.
        order.shuffle(labels)
        for label in labels:
            # Not counted: the threads of the session before still spin for a while.
            opened[label].run(feeds)
            until = time.perf_counter() + SLICE_S
            while (started := time.perf_counter()) < until:
                opened[label].run(feeds)
                times[label].append(1e3 * (time.perf_counter() - started))
    return times


def table(rows):
    """Return the rows as Markdown."""
    head = (
        "quantizer | ms | ratio | SQNR dB | int8 kernels | MB | calibrating s | in all s | peak MB"
    )
    lines = [f"| {head} |", "|" + " --- |" * 9]
    for row in rows:
        costs = [row.calibration_s, row.total_s, row.peak_mb]
        told = ["" if c is None else f"{c:.{d}f}" for c, d in zip(costs, (1, 1, 0), strict=True)]
        cells = [
            row.label,
            f"{row.ms:.2f}",
            f"{row.ratio:.2f}×",
            f"{row.sqnr_db:.1f}",
            f"{row.int8}/{row.kernels}",
            f"{row.megabytes:.1f}",
            *told,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def report(name, found, path):
    """Return the Markdown file with the tables of one model in place of those it had."""
    head = ["# Int8 beside the peers", "", "Written by `bench_quantizers.py --write`."]
    head += [
        f"{THREADS} threads; ms: one run in twenty is faster; ratio: how often it fits into float."
    ]
    head += ["Kernels are those of the executed graph; SQNR is that of 16 held-out samples."]
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    sections = dict(part.split("\n", 1) for part in text.split("\n## ")[1:])
    for target, rows in found.items():
        sections[f"{name}, `{target}`"] = "\n" + "\n".join(table(rows)) + "\n"
    parts = [f"## {title}\n{body.rstrip()}\n" for title, body in sections.items()]
    return "\n".join(["\n".join(head), "", *parts])


if __name__ == "__main__":
    main()
