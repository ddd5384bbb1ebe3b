"""How compile time grows with depth: chains of layers, from a model file to a checked float file.

The chains are Conv2d, BatchNorm2d, ReLU and Hardtanh over and over, four calls for each layer, and
each is compiled by the command line in a process of its own, one thread.

    python benchmarks/bench_chain.py [LAYERS ...]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LAYERS = (1250, 5000)

CHAIN = """
import torch
from torch import nn

def block():
    return nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Hardtanh(-9, 9)

def model():
    torch.manual_seed(0)
    return nn.Sequential(*(layer for _ in range({layers}) for layer in block())).eval()

def inputs():
    return (torch.randn(1, 4, 2, 2),)
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("layers", nargs="*", type=int, default=LAYERS)
    first = None
    for layers in parser.parse_args().layers:
        seconds = compiled(layers)
        first = first or (layers, seconds)
        ratio = f"{seconds / first[1]:.2f}x the time of {first[0]:,}"
        print(f"{layers:6,} layers {seconds:7.1f} s   {ratio}", flush=True)


def compiled(layers):
    with tempfile.TemporaryDirectory() as folder:
        model, output = Path(folder, "chain.py"), Path(folder, "chain.onnx")
        model.write_text(CHAIN.format(layers=layers))
        options = ["--preset", "float", "--target", "ort-x64", "--threads", "1", "--quiet"]
        command = [sys.executable, "-m", "rewrite", str(model), *options, "-o", str(output)]
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started


if __name__ == "__main__":
    main()
