"""The written file on real runtimes, past everything that is the compiler's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from torch import Tensor

RunFile = Callable[[dict[str, Tensor]], list[Tensor]]


def open_file(runtime: str, path: Path) -> RunFile:
    """Load a file; what is returned takes inputs by name, and gives the outputs in order."""
    return {"onnxruntime": _onnxruntime, "openvino": _openvino}[runtime](path)


def _onnxruntime(path: Path) -> RunFile:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    wanted = [each.name for each in session.get_inputs()]

    def run(inputs: dict[str, Tensor]) -> list[Tensor]:
        given = {name: inputs[name].numpy() for name in wanted}
        return [_tensor(value) for value in session.run(None, given)]

    return run


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
    import onnx

    return [value.name for value in onnx.load(path, load_external_data=False).graph.input]


def _tensor(value: Any) -> Tensor:
    return torch.from_numpy(value.copy()) if hasattr(value, "copy") else torch.tensor(value)
