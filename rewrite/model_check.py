"""Models that cannot be compiled, found before anything runs."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import modules
from torch.nn.parameter import is_lazy

from rewrite.checks.finite import all_finite
from rewrite.errors import CaptureError

_NORMS = (modules.batchnorm._BatchNorm, modules.instancenorm._InstanceNorm)
_MOST_NAMED = 3


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
        if tensor.layout != torch.strided:
            continue  # told with the line that reads it
        if not all_finite(tensor):
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


def training_norms(model: nn.Module) -> list[str]:
    """Warn of norms that take mean and variance from each batch, though they have learnt their own.

    One that never kept statistics takes those of a batch in evaluation mode too.
    """
    names = [
        name
        for name, module in model.named_modules()
        if isinstance(module, _NORMS) and module.training and module.running_mean is not None
    ]
    if not names:
        return []
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return [
        f"{', '.join(map(repr, names[:_MOST_NAMED]))}{more}: a norm in training mode takes the "
        "mean and variance of each batch, in the file too; call eval() on it unless that is meant"
    ]


def _is_parameter(model: nn.Module, name: str) -> bool:
    return any(name == n for n, _ in model.named_parameters())
