"""Latency and SQNR beside the peers, all files timed in turns in one process.

python benchmarks/bench_latency.py [MODEL ...] [--rounds N]
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
import peers

HERE = Path(__file__).resolve().parent
MODELS = ("bert_encoder", "resnet18", "mobilenetv2")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--target", default="ort-x64")
    arguments = parser.parse_args()
    for name in arguments.models:
        # The peers leave files in the working directory.
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            bench(name, Path(folder), arguments)
            os.chdir(HERE)


def bench(name, folder, arguments):
    module = peers.load(name)
    files = {"torch.onnx float": folder / "torch.onnx"}
    peers.export_float(module, str(files["torch.onnx float"]))
    for preset in ("float", "int8"):
        files[f"rewrite {preset}"] = ours(name, preset, folder, arguments.target)
    peer = folder / "static.onnx"
    peers.quantize_static(module, str(files["torch.onnx float"]), str(peer))
    files["quantize_static U8S8"] = peer
    batch = module.inputs()
    times, outputs = measure(files, batch, arguments.rounds)
    with torch.no_grad():
        eager = module.model()
        result = eager(**batch) if isinstance(batch, dict) else eager(*batch)
    reference = (result if isinstance(result, torch.Tensor) else result[0]).numpy()
    base = min(times["torch.onnx float"])
    print(f"{name}: {peers.THREADS} threads, {arguments.rounds} rounds, target {arguments.target}")
    print(f"  {'file':24} {'min ms':>8} {'median':>8} {'ratio':>7} {'SQNR dB':>8} {'MB':>7}")
    for label, path in files.items():
        fastest, middle = min(times[label]), statistics.median(times[label])
        db = peers.sqnr_db(reference, outputs[label])
        size = path.stat().st_size / 1e6
        row = f"{fastest:8.2f} {middle:8.2f} {base / fastest:6.2f}x {db:8.1f} {size:7.1f}"
        print(f"  {label:24} {row}")


def ours(name, preset, folder, target):
    from rewrite.compile import Request, compile_model
    from rewrite.plugin_host import PluginHost

    path = folder / f"{preset}.onnx"
    request = Request(
        str(peers.MODELS / f"{name}.py"), preset=preset, target=target, output=path, threads=2
    )
    result = compile_model(request, PluginHost())
    int8 = result.as_json()["int8"]
    print(f"  {name} {preset}: int8 kernels {int8['fired']}/{int8['eligible']}", file=sys.stderr)
    return path


def measure(files, batch, rounds):
    sessions = {label: peers.session(path) for label, path in files.items()}
    outputs = {label: peers.run(opened, batch) for label, opened in sessions.items()}
    times = {label: [] for label in files}
    for _ in range(rounds):
        for label, opened in sessions.items():
            # Not counted: the threads of the session before still spin for a while.
            peers.run(opened, batch)
            started = time.perf_counter()
            peers.run(opened, batch)
            times[label].append(1e3 * (time.perf_counter() - started))
    return times, outputs


if __name__ == "__main__":
    main()
