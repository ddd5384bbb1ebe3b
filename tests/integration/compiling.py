"""Compile a model end to end and say what came out of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rewrite.compile import compile_model
from rewrite.descriptors import Model
from rewrite.plugin_host import PluginHost
from rewrite.request import Request, Result
from rewrite.talk import Talk

LARGEST_LAYER_DIFFERENCE = 1
"""In steps of the quantized type."""
LOWEST_SQNR = 35.0
"""End to end, in dB, where no rounding falls the other way or few do."""
CALIBRATION_BATCHES = 4

Made = tuple[nn.Module, dict[str, Any], dict[str, Any]]
"""A model, its example inputs by name, its dynamic dimensions."""


@dataclass(frozen=True)
class Case:
    """One model, and what is known to be different about it."""

    name: str
    make: Callable[[], Made]
    lowest_sqnr: dict[str, tuple[float, str]] = field(default_factory=dict)
    """A lower floor, by runtime, and the reason; None where the runtime cannot run it."""
    floats: tuple[str, ...] = ()
    """Reasons, in part, for which compute nodes are left float by the runtime."""
    warned: tuple[str, ...] = ()
    """Warnings, in part, that are true of it."""
    min_sqnr: float | None = None
    """What its file has to keep of the model, in dB, where its random weights leave it so little:
    then the check is of the file, not of 8 bits."""
    slow: bool = False
    like: str = ""
    """Another model that is made of the same parts: this one is compiled with `--all-forms`."""

    @property
    def marks(self) -> list[pytest.MarkDecorator]:
        """When it is compiled."""
        slow = [pytest.mark.slow] if self.slow else []
        return [*slow, *([pytest.mark.all_forms] if self.like else [])]


class OneModel(PluginHost):
    """A host that has one more model."""

    def __init__(self, description: Model) -> None:
        super().__init__()
        self.description = description

    def find_model(self, name: str) -> Model:
        return self.description if name == self.description.name else super().find_model(name)


class Warnings(Talk):
    """Keeps what is said aloud, but for what is said of this processor."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def warn(self, text: str) -> None:
        if "this processor has no VNNI" not in text:
            self.heard.append(text)


def compile_case(
    case: Case, folder: Path, preset: str = "int8", talk: Talk | None = None, **options: Any
) -> Result:
    """Compile a model to a file; options are those of a request."""
    torch.manual_seed(0)
    model, inputs, dynamic = case.make()
    randomise(model.eval())
    description = Model(
        case.name, lambda: model, lambda: inputs, dynamic, lambda: batches_like(inputs)
    )
    request = Request(
        f"zoo:{case.name}",
        preset=preset,
        output=folder / f"{case.name}.onnx",
        threads=1,
        **({"min_sqnr": case.min_sqnr} if case.min_sqnr is not None else {}),
        **options,
    )
    return compile_model(request, OneModel(description), talk)


def randomise(model: nn.Module) -> None:
    """Give norms and biases values other than their neutral ones."""
    with torch.no_grad():
        for value in model.parameters():
            if value.dim() == 1:
                value += 0.1 * torch.randn_like(value)
        for name, value in model.named_buffers():
            if "running_var" in name:
                value.uniform_(0.5, 2)
            if "running_mean" in name:
                value.normal_(0, 0.2)


def batches_like(inputs: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield batches for calibration: new numbers, ids and edges of graphs, the same masks."""
    for seed in range(CALIBRATION_BATCHES):
        generator = torch.Generator().manual_seed(seed + 1)
        yield {name: _like(name, value, generator) for name, value in inputs.items()}


def _like(name: str, value: Any, generator: torch.Generator) -> Any:
    if not isinstance(value, Tensor) or "mask" in name:
        return value
    if value.is_floating_point() and bool(((value == 0) | (value == 1)).all()):
        return (torch.rand(value.shape, generator=generator) > 0.5).to(value.dtype)
    if value.is_floating_point():
        return torch.randn(value.shape, generator=generator)
    high = int(value.max()) + 1
    return torch.randint(int(value.min()), high, value.shape, generator=generator)


def assert_holds(case: Case, result: Result) -> None:
    """Hold the file to the program on every runtime, and to the int8 kernels it asks for."""
    summary = result.as_json()
    assert summary["runtimes"], "it ran nowhere"
    for runtime, found in summary["runtimes"].items():
        floor, reason = case.lowest_sqnr.get(runtime, (LOWEST_SQNR, ""))
        assert not found["problem"], (runtime, found["problem"])
        sqnr = found["agreement"]["sqnr_db"]
        assert sqnr is None or sqnr >= floor, (runtime, sqnr, reason)
        int8 = found["int8"]
        unknown = [
            entry
            for entry in int8["fallbacks"]
            if not any(part in entry["reason"] for part in case.floats)
        ]
        assert not unknown, (runtime, unknown)
    layers = summary["runtimes"]["onnxruntime"]["agreement"]["layers"]
    assert layers["max_lsb"] <= LARGEST_LAYER_DIFFERENCE, layers
    assert layers["compared"] == layers["total"]


def row(case: Case, result: Result) -> str:
    """Return one line that tells how a model fared."""
    summary = result.as_json()
    parts = [f"{case.name:<22}"]
    for runtime, found in summary["runtimes"].items():
        agreement, int8 = found["agreement"], found["int8"]
        if agreement is None:
            parts.append(f"{runtime}: {found['problem']}")
            continue
        sqnr = agreement["sqnr_db"]
        lsb = agreement.get("layers", {}).get("max_lsb", "-")
        share = f"{int8['fired']}/{int8['eligible']}/{int8['compute_nodes']}"
        shown = "exact" if sqnr is None else f"{sqnr:.1f} dB"
        parts.append(f"{runtime}: {shown} int8 {share} lsb {lsb}")
    for report in result.reports:
        reasons = {r.reason for r in report.outcome.rejected} if report else set()
        if report.pass_.name == "insert-quantizers" and reasons:
            parts.append(f"[{'; '.join(sorted(reasons))}]")
    return " | ".join(parts)
