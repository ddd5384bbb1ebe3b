"""Models that cannot be compiled, found before anything runs."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from rewrite.errors import CaptureError


def check_model(model: nn.Module) -> None:
    """Refuse a model in training mode, and weights that are missing or no numbers.

    Raises:
        CaptureError: naming the model, or the weight.
    """
    if model.training:
        raise CaptureError(
            "the model is in training mode",
            where=type(model).__name__,
            hint="return model.eval() from model()",
        )
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if is_lazy(tensor):
            raise CaptureError(
                f"weight '{name}' has no values yet: its layer is lazy",
                where=type(model).__name__,
                hint="call the model once in model(), or load its state_dict",
            )
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            # A buffer may hold infinities on purpose: an attention mask does.
            is_mask = name.endswith("mask") or not _is_parameter(model, name)
            if is_mask and not bool(torch.isnan(tensor).any()):
                continue
            count = int((~torch.isfinite(tensor)).sum())
            raise CaptureError(
                f"weight '{name}' holds {count} NaN or infinite values of {tensor.numel()}",
                where=type(model).__name__,
                hint="the checkpoint is damaged or training diverged; load a sound one",
            )


def _is_parameter(model: nn.Module, name: str) -> bool:
    return any(name == n for n, _ in model.named_parameters())
