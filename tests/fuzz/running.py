"""The written file on real runtimes, past everything that is the compiler's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
from torch import Tensor

from rewrite.runtimes import get_runtime
from rewrite.runtimes.processor import saturates

RunFile = Callable[[dict[str, Tensor]], list[Tensor]]


def open_file(runtime: str, path: Path, *, quantized: bool) -> RunFile:
    """Load a file; what is returned takes inputs by name, and gives the outputs in order.

    Where this processor's int8 kernels saturate, a quantized file is loaded as the compiler loads
    it, which knows the exact kernels.
    """
    if quantized and saturates():
        return _exact(runtime, path)
    return {"onnxruntime": _onnxruntime, "openvino": _openvino}[runtime](path)


def _exact(runtime: str, path: Path) -> RunFile:
    loaded = get_runtime(runtime).load(path, threads=1)
    model = onnx.load(path, load_external_data=False).graph

    def run(inputs: dict[str, Tensor]) -> list[Tensor]:
        found = loaded.run({each.name: inputs[each.name].numpy() for each in model.input})
        return [_tensor(found[each.name]) for each in model.output]

    return run


def _onnxruntime(path: Path) -> RunFile:
    session = _session(path)
    wanted = [each.name for each in session.get_inputs()]

    def run(inputs: dict[str, Tensor]) -> list[Tensor]:
        given = {name: inputs[name].numpy() for name in wanted}
        return [_tensor(value) for value in session.run(None, given)]

    return run


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _openvino(path: Path) -> RunFile:
    import openvino

    config: dict[str, Any] = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(path), "CPU", config)
    wanted = [next(iter(port.get_names() & set(_inputs(path)))) for port in compiled.inputs]

    def run(inputs: dict[str, Tensor]) -> list[Tensor]:
        results = compiled([inputs[name].numpy() for name in wanted])
        return [_tensor(results[place]) for place in range(len(compiled.outputs))]

    return run


def _inputs(path: Path) -> list[str]:
    return [value.name for value in onnx.load(path, load_external_data=False).graph.input]


def _tensor(value: Any) -> Tensor:
    return torch.from_numpy(value.copy()) if hasattr(value, "copy") else torch.tensor(value)
