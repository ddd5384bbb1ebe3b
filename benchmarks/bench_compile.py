"""Cost of compiling: wall time and peak memory from a model file to a checked int8 file.

Each tool runs in a process of its own, on the same 64 calibration samples; ours includes running
and checking the file, the peers' does not.

    python benchmarks/bench_compile.py [MODEL ...]
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from common import HERE, in_child, peak_mb

MODELS = ("bert_encoder", "vit_tiny")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--child", choices=("ours", "peer"))
    parser.add_argument("--target", default="ort-x64")
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, arguments.models[0], arguments.target)
        return
    for name in arguments.models:
        print(name)
        rows = {tool: measure(tool, name, arguments.target) for tool in ("peer", "ours")}
        labels = {"peer": "torch.onnx + quant_pre_process + quantize_static", "ours": "rewrite"}
        for tool, (seconds, megabytes) in rows.items():
            print(f"  {labels[tool]:50} {seconds:7.1f} s {megabytes:8.0f} MB peak")
    bench_matching()


def measure(tool, name, target):
    found, seconds = in_child([__file__, name, "--child", tool, "--target", target])
    return seconds, found["peak_mb"]


def child(tool, name, target):
    # The peers leave files in the working directory.
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        if tool == "peer":
            from common import load
            from quantizers.onnxruntime_static import quantize

            quantize(load(name), target, Path(folder))
        else:
            from rewrite.cli.process import run_process

            output = f"{folder}/int8.onnx"
            model = str(HERE / "models" / f"{name}.py")
            options = ["--preset", "int8", "--target", target, "-o", output, "--quiet"]
            sys.argv = ["rewrite", model, *options]
            with contextlib.suppress(SystemExit):
                run_process()
            if not Path(output).exists():
                raise SystemExit("rewrite wrote nothing")
    print(json.dumps({"peak_mb": peak_mb()}))


def bench_matching():
    from rewrite import Context
    from rewrite.plugin_host import PluginHost

    program = long_program(2500)
    calls = sum(node.op == "call_function" for node in program.graph.nodes)
    pass_ = PluginHost().find_pass("fold-batch-norm")()
    twin = program.clone()
    started = time.perf_counter()
    outcome = pass_.run(twin, Context())
    seconds = time.perf_counter() - started
    print(f"fold-batch-norm over {calls} calls: {outcome.rewrites} rewrites in {seconds:.2f} s")


def long_program(blocks):
    """Repeat conv, norm, relu and clamp inside the program: torch.export would take minutes."""
    import torch
    from torch import nn

    from rewrite import Emitter, arguments, capture

    net = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Hardtanh(-9, 9))
    program = capture(net.eval(), (torch.randn(1, 4, 2, 2),))
    emit = Emitter(program)
    chain = [node for node in program.graph.nodes if node.op == "call_function"]
    output = program.graph.output_node()
    last = chain[-1]
    for _ in range(blocks - 1):
        first = last
        for call in chain:
            bound = arguments(call)
            name = next(iter(bound))
            named = {**bound, name: first}
            first = emit.call(call.target, like=output, val=call.meta["val"], **named)
        last = first
    emit.replace_use(output, chain[-1], last)
    return program


if __name__ == "__main__":
    main()
