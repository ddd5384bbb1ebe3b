"""The peers, each at its best settings: torch.onnx's exporter and ONNX Runtime's quantizer."""

import copy
import importlib.util
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import torch

MODELS = Path(__file__).parent / "models"
THREADS = 2


def load(name):
    """Import a model file of benchmarks/models."""
    spec = importlib.util.spec_from_file_location(name, MODELS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def export_float(module, path):
    """Write torch.onnx.export(dynamo=True)'s file of a model."""
    inputs = module.inputs()
    args, kwargs = ((), inputs) if isinstance(inputs, dict) else (inputs, None)
    program = torch.onnx.export(
        module.model(),
        args,
        kwargs=kwargs,
        dynamic_shapes=copy.copy(module.dynamic_shapes),
        dynamo=True,
        verbose=False,
    )
    program.save(path)


def quantize_static(module, float_path, path):
    """Quantize with onnxruntime.quantization: pre-processed, U8S8, per channel, min-max."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    session = onnxruntime.InferenceSession(float_path, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    del session
    prepared = f"{path}.prepared.onnx"
    try:
        quant_pre_process(float_path, prepared)
    except Exception as error:  # symbolic shapes of an encoder's mask are beyond it
        print(f"quant_pre_process: {error}; again without symbolic shapes", file=sys.stderr)
        quant_pre_process(float_path, prepared, skip_symbolic_shape=True)

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.batches = iter(module.calibration())

        def get_next(self):
            batch = next(self.batches, None)
            return None if batch is None else feed(names, batch)

    quantize_static(
        prepared,
        path,
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def feed(names, batch):
    """Return numpy inputs by name for one batch of a model file."""
    values = batch.values() if isinstance(batch, dict) else batch
    return {n: v.numpy() for n, v in zip(names, values, strict=False)}


def session(path):
    """Open a file in ONNX Runtime with two threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(opened, batch):
    """Run one batch and return the first output."""
    names = [i.name for i in opened.get_inputs()]
    return opened.run(None, feed(names, batch))[0]


def sqnr_db(reference, result):
    """Return 10·log10 of signal over noise."""
    noise = float(((reference - result) ** 2).sum())
    return float("inf") if noise == 0 else 10 * np.log10(float((reference**2).sum()) / noise)
