"""Load ONNX files in real runtimes: run them, time them, and read which kernels were chosen.

Nothing here knows torch or the compiler's own IR: an ONNX file goes in, facts come out.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from numpy.typing import NDArray

__all__ = [
    "NAMES",
    "Array",
    "KernelVerdict",
    "LoadedModel",
    "Runtime",
    "RuntimeFailure",
    "UnknownRuntime",
    "get_runtime",
    "runtimes",
]

Array = NDArray[Any]

_CLASSES = {
    "onnxruntime": ("rewrite.runtimes.onnxruntime", "OnnxRuntime"),
    "openvino": ("rewrite.runtimes.openvino", "OpenVino"),
}
NAMES = tuple(_CLASSES)
"""Of all known runtimes, installed or not."""


@dataclass(frozen=True)
class KernelVerdict:
    """What the runtime made of one Conv, ConvTranspose, MatMul or Gemm of the file."""

    node: str
    """The node's name, or its first output's where the file leaves it unnamed."""
    op: str
    eligible: bool
    """The file asks for int8: every data input comes from 8-bit DequantizeLinear."""
    fired: bool
    """The runtime computes it in int8, or reads the weight as it is stored."""
    kernel: str
    """The runtime's own name of the kernel; empty if the node is gone."""
    reason: str
    """Why it did not fire, and what to change; empty if it did."""
    weight_only: bool = False
    """Its weight alone is of integers: what fired multiplies floats with them."""
    has_weight: bool = False
    """It reads a weight of two or more dimensions: it counts, whatever the file asks for."""


class RuntimeFailure(Exception):
    """A runtime refused to load or to run a model."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(f"{what}\nhint: {hint}" if hint else what)
        self.what = what
        self.hint = hint


class UnknownRuntime(ValueError):
    """No runtime has this name."""

    def __init__(self, name: str) -> None:
        close = difflib.get_close_matches(name, _CLASSES, n=1, cutoff=0.4)
        guess = f"did you mean '{close[0]}'? " if close else ""
        super().__init__(f"unknown runtime '{name}'; {guess}known: {', '.join(_CLASSES)}")
        self.name = name


class LoadedModel(Protocol):
    """A model that is ready to run, held by one runtime."""

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run once; inputs and outputs go by the file's names."""

    def run_usual(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run once as users do: on some processors int8 sums saturate then."""

    def caveat(self, feeds: Mapping[str, Array]) -> str:
        """Return what users must know to get these results on this machine; empty if nothing."""

    def kernels(self) -> list[KernelVerdict]:
        """Return one verdict per compute node of the file, in the file's order.

        Behind them come the other nodes that read a weight, such as recurrent layers.
        """

    def kinds(self) -> dict[str, int]:
        """Return how often each kernel is in the graph that runs, whatever it computes."""

    def latency(
        self, feeds: Mapping[str, Array], repeats: int = 30, seconds: float | None = None
    ) -> list[float]:
        """Return milliseconds of single runs, after a warm-up.

        Stops after `repeats` runs, or once `seconds` have passed, whichever comes first.
        """


class Runtime(Protocol):
    """An inference engine."""

    @property
    def name(self) -> str:
        """The name that `get_runtime` takes."""

    @property
    def version(self) -> str:
        """The installed version; empty if it is not installed."""

    def available(self) -> bool:
        """Say whether the runtime is installed."""

    def load(self, path: str | Path, threads: int = 0) -> LoadedModel:
        """Load a file; `threads` of 0 leaves the number to the runtime."""


def get_runtime(name: str) -> Runtime:
    """Return the runtime of that name; it may still be unavailable."""
    if name not in _CLASSES:
        raise UnknownRuntime(name)
    module, attribute = _CLASSES[name]
    # Imported by need: a module imports this one, and an optional runtime may be slow to load.
    return cast(Runtime, getattr(importlib.import_module(module), attribute)())


def runtimes() -> list[Runtime]:
    """Return all known runtimes, installed or not."""
    return [get_runtime(name) for name in NAMES]
