"""How tiny random `transformers` models are made, and what they are fed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as hf
from torch.export import Dim

from .compiling import Case, Made

VOCABULARY = 99
Inputs = tuple[dict[str, Any], dict[str, Any]]


def text(mask: bool = True, **names: str) -> Inputs:
    """Return ids, and a mask that blanks two of them, with dynamic batch and sequence."""
    batch, tokens = Dim("batch", max=64), Dim("tokens", max=64)
    inputs = {"input_ids": torch.randint(3, VOCABULARY, (2, 7))}
    if mask:
        inputs["attention_mask"] = torch.ones(2, 7, dtype=torch.int64)
        inputs["attention_mask"][0, -2:] = 0
    return inputs, {name: {0: batch, 1: tokens} for name in inputs}


def image(size: int = 32) -> Inputs:
    """Return two images, with dynamic batch."""
    pixels = {"pixel_values": torch.randn(2, 3, size, size)}
    return pixels, {"pixel_values": {0: Dim("batch", max=64)}}


def sound(name: str, *shape: int) -> Inputs:
    """Return two sounds, with dynamic batch."""
    return {name: torch.randn(2, *shape)}, {name: {0: Dim("batch", max=64)}}


def made(model: str, config: str, inputs: Callable[[], Inputs], **options: Any) -> Any:
    """Return a function that makes a model with its inputs."""

    def make() -> Made:
        settings = getattr(hf, config)(**options)
        return (getattr(hf, model)(settings), *inputs())

    return make


def case(name: str, make: Any, **known: Any) -> Case:
    return Case(name, make, **known)
