"""Compile trained zoo models to int8 ONNX and print what that cost and what it gained.

    make demo

Exits with 1 when a model lost more than half a point, when the file and its simulation disagree
on more than one test image in 200, or when an eligible node did not run in int8.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path

import torch

from rewrite.compile import Request, Result, compile_model
from rewrite.job import find_model
from rewrite.plugin_host import PluginHost
from rewrite.talk import Talk

MODELS = ("zoo:vit-digits", "zoo:resnet-digits")
FOLDER = Path("build/demo")
LARGEST_DROP = 0.5
SMALLEST_AGREEMENT = 99.5
THREADS = min(2, os.cpu_count() or 1)


class Steps(Talk):
    """Says on stderr what is being done."""

    def step(self, text: str) -> None:
        print(f"  {text} ...", file=sys.stderr, flush=True)


def main() -> int:
    logging.disable(logging.ERROR)
    warnings.simplefilter("ignore")
    FOLDER.mkdir(parents=True, exist_ok=True)
    host = PluginHost()
    return max(show(compile_one(host, model), host) for model in MODELS)


def compile_one(host: PluginHost, model: str) -> Result:
    output = FOLDER / f"{model.removeprefix('zoo:')}.onnx"
    command = f"rewrite {model} --preset int8 --latency --threads {THREADS} -o {output}"
    print(f"$ {command}", flush=True)
    request = Request(model, preset="int8", output=output, latency=True, threads=THREADS)
    return compile_model(request, host, Steps())


def show(result: Result, host: PluginHost) -> int:
    """Print one model's numbers; return 1 when one of them is not good enough."""
    metrics = result.metrics
    before, after = metrics["eager"]["accuracy"], metrics["deployed"]["accuracy"]
    same = agreement(result, host)
    found = result.as_json()
    int8, latency = found["int8"], found["latency_ms"]
    print(f"  held-out accuracy   float {before:.2f} %, ", end="")
    print(f"rewritten {metrics['program']['accuracy']:.2f} %, deployed {after:.2f} %")
    print(f"  same answer         {same:.2f} % of the test images, deployed and simulated")
    print(f"  int8 kernels        {int8['fired']} of {int8['eligible']} fired on ONNX Runtime")
    for entry in int8["fallbacks"]:
        print(f"    not {entry['node']}: {entry['reason']}")
    print(
        f"  latency             {latency['deployed']:.3f} ms, float {latency['float']:.3f} ms: ",
        end="",
    )
    print(f"{latency['float'] / latency['deployed']:.2f} times as fast")
    print(f"  size                {found['artifact']['bytes'] / 1000:.0f} kB", end="")
    print(f", checkpoint {find_model(host, result.model).size_bytes / 1000:.0f} kB\n", flush=True)
    good = before - after <= LARGEST_DROP and same >= SMALLEST_AGREEMENT
    return 0 if good and int8["fired"] == int8["eligible"] else 1


def agreement(result: Result, host: PluginHost) -> float:
    """Return on how many held-out images, in %, the file and its simulation give one answer."""
    assert result.program is not None and result.artifact is not None
    evaluate = find_model(host, result.model).evaluate
    assert evaluate is not None
    runs = (result.program, result.artifact.runner(result.program))
    simulated, deployed = (answers(evaluate, run) for run in runs)
    return 100.0 * float((simulated == deployed).float().mean())


def answers(evaluate, run) -> torch.Tensor:
    """Return the classes that a way of running the model gives in `evaluate`."""
    found = []

    def recording(*inputs):
        logits = run(*inputs)
        found.append(logits.argmax(-1).flatten())
        return logits

    evaluate(recording)
    return torch.cat(found)


if __name__ == "__main__":
    sys.exit(main())
