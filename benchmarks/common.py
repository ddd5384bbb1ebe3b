"""What the benchmarks share: model files, float files, feeds, and the measure of agreement."""

import contextlib
import copy
import importlib.util
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
MODELS = HERE / "models"
THREADS = 2


def load(name):
    """Import a model file of benchmarks/models."""
    spec = importlib.util.spec_from_file_location(name, MODELS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def called(batch):
    """Return a batch of a model file as positional and keyword arguments."""
    return ((), batch) if isinstance(batch, dict) else (batch, {})


def export_float(module, path):
    """Write torch.onnx's file of a model: by torch.export, or by tracing where that fails."""
    import torch

    args, kwargs = called(module.inputs())
    with contextlib.redirect_stdout(sys.stderr):
        try:
            program = torch.onnx.export(
                module.model(),
                args,
                kwargs=kwargs,
                dynamic_shapes=copy.copy(module.dynamic_shapes),
                dynamo=True,
                verbose=False,
            )
            program.save(str(path))
        except torch.onnx.OnnxExporterError as error:
            print(f"torch.onnx: {error}; again by tracing", file=sys.stderr)
            torch.onnx.export(
                module.model(),
                args,
                str(path),
                kwargs=kwargs,
                input_names=list(kwargs),
                dynamo=False,
            )


def input_names(path):
    """Return the names of a file's inputs in order."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    return [value.name for value in graph.input if value.name not in weights]


def feed(names, batch):
    """Return numpy inputs by name for one batch of a model file."""
    values = batch.values() if isinstance(batch, dict) else batch
    return {n: v.numpy() for n, v in zip(names, values, strict=False)}


def held_out(module):
    """Return eight batches that no quantizer sees, each with the eager model's first output."""
    import torch

    model, found = module.model(), []
    for batch in (module.batch(2, 900 + i) for i in range(8)):
        args, kwargs = called(batch)
        with torch.no_grad():
            result = model(*args, **kwargs)
        found.append((batch, (result if isinstance(result, torch.Tensor) else result[0]).numpy()))
    return found


def sqnr_db(pairs):
    """Return 10·log10 of signal over noise of (reference, result), all batches together."""
    signal = sum(float((reference**2).sum()) for reference, _ in pairs)
    noise = sum(float(((reference - result) ** 2).sum()) for reference, result in pairs)
    return float("inf") if noise == 0 else float(10 * np.log10(signal / noise))


def peak_mb():
    """Return the largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_child(command):
    """Run a script in a process of its own: the JSON of its last line, and its wall time in s."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.strip().splitlines()[-1]), seconds
