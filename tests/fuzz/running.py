"""The written file on real runtimes, past everything that is the compiler's own."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from torch import Tensor

# Processors without these instructions add two products in 16 bits, which is not enough for all.
_EXACT_INT8 = re.compile(r"\b(avx512_vnni|avx_vnni|amx_int8|asimddp)\b")

RunFile = Callable[[dict[str, Tensor]], list[Tensor]]


class NoExactKernels(Exception):
    """ONNX Runtime loads the file, but not with kernels that are exact on this processor."""


@functools.cache
def saturates() -> bool:
    """Tell whether this processor's own int8 kernels clip sums, so that runtimes are not exact."""
    cpu = Path("/proc/cpuinfo")
    return cpu.is_file() and _EXACT_INT8.search(cpu.read_text(encoding="utf-8")) is None


def open_file(runtime: str, path: Path) -> RunFile:
    """Load a file; what is returned takes inputs by name, and gives the outputs in order."""
    return {"onnxruntime": _onnxruntime, "openvino": _openvino}[runtime](path)


def _onnxruntime(path: Path) -> RunFile:
    session = _session(path, exact=saturates())
    wanted = [each.name for each in session.get_inputs()]

    def run(inputs: dict[str, Tensor]) -> list[Tensor]:
        given = {name: inputs[name].numpy() for name in wanted}
        return [_tensor(value) for value in session.run(None, given)]

    return run


def _session(path: Path, exact: bool) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    if exact:
        # Where int8 would saturate, ONNX Runtime then takes slower kernels that are exact.
        options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception:
        if exact:
            # These kernels have faults of their own: a weight that two layers share is one.
            _session(path, exact=False)
            raise NoExactKernels from None
        raise


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
