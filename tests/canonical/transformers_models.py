"""Tiny random `transformers` models: architectures nobody here wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers as hf
from torch import nn
from torch.export import Dim

BATCH, TOKENS, IMAGE = 3, 7, 32


@dataclass(frozen=True)
class Case:
    """One architecture and what its canonical form must show."""

    name: str
    build: Callable[[str], nn.Module]
    """Makes the model, given the attention implementation."""
    inputs: str
    attentions: int
    implementations: tuple[str, ...] = ("eager",)


class OneTensor(nn.Module):
    """Calls a model with given switches and returns its first output."""

    def __init__(self, model: nn.Module, argument: str, switches: dict[str, Any]) -> None:
        super().__init__()
        self.model, self.argument, self.switches = model, argument, switches

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result = self.model(**{self.argument: x}, **self.switches)
        return result[0]


class Masked(nn.Module):
    """As OneTensor, with a padding mask."""

    def __init__(self, model: nn.Module, switches: dict[str, Any]) -> None:
        super().__init__()
        self.model, self.switches = model, switches

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=input_ids, attention_mask=attention_mask, **self.switches)[0]


def make(model: str, config: str, inputs: str, **options: Any) -> Callable[[str], nn.Module]:
    def build(implementation: str) -> nn.Module:
        torch.manual_seed(0)
        settings = getattr(hf, config)(**options, attn_implementation=implementation)
        network = getattr(hf, model)(settings)
        randomise(network)
        switches: dict[str, Any] = {"return_dict": False}
        if "use_cache" in options or model in ("BartModel", "T5EncoderModel"):
            switches["use_cache"] = False
        if model == "T5EncoderModel":
            switches.pop("use_cache")
        if inputs == "masked":
            return Masked(network, switches).eval()
        argument = {"text": "input_ids", "image": "pixel_values"}.get(inputs, "input_features")
        if inputs == "audio":
            argument = "input_values"
        return OneTensor(network, argument, switches).eval()

    return build


def randomise(model: nn.Module) -> None:
    """Give norms and biases values other than their neutral ones."""
    with torch.no_grad():
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            if not value.is_floating_point() or "inv_freq" in name:
                continue
            if name.endswith(("running_var",)) or ("norm" in name.lower() and "weight" in name):
                value.uniform_(0.5, 1.5)
            elif name.endswith(("running_mean", "bias")) or "lambda" in name:
                value.normal_(0, 0.3)


def example(kind: str) -> dict[str, torch.Tensor]:
    """Return the example inputs of a kind of model."""
    generator = torch.Generator().manual_seed(1)
    if kind in ("text", "masked"):
        ids = torch.randint(3, 99, (BATCH, TOKENS), generator=generator)
        if kind == "text":
            return {"x": ids}
        mask = torch.ones(BATCH, TOKENS, dtype=torch.int64)
        mask[1, TOKENS - 2 :] = 0
        return {"input_ids": ids, "attention_mask": mask}
    shapes = {"image": (BATCH, 3, IMAGE, IMAGE), "mel": (BATCH, 16, 24), "audio": (BATCH, 400)}
    return {"x": torch.randn(shapes[kind], generator=generator)}


def dynamic(kind: str) -> dict[str, dict[int, Any]]:
    """Return the dynamic dimensions of a kind of model: batch, and tokens of a text."""
    batch, tokens = Dim("batch", min=1, max=64), Dim("tokens", min=3, max=32)
    if kind == "text":
        return {"x": {0: batch, 1: tokens}}
    if kind == "masked":
        return {"input_ids": {0: batch, 1: tokens}, "attention_mask": {0: batch, 1: tokens}}
    return {"x": {0: batch}}
