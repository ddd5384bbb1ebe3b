"""Losses and statistics of training, for models that return them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten
_MEAN, _SUM = 1, 2


def cross_entropy_loss(
    self: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: int = _MEAN,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Tensor:
    """-Σ t·log softmax(x), t the probabilities of the classes or 1 at the class named."""
    axis = 0 if self.dim() == 1 else 1
    classes = self.shape[axis]
    logs = torch.log_softmax(self, axis)
    shape = [1] * self.dim()
    shape[axis] = classes
    weights = self.new_ones(classes).reshape(shape) if weight is None else weight.reshape(shape)
    if target.is_floating_point():
        wanted = target * (1.0 - label_smoothing) + label_smoothing / classes
        each = -(logs * wanted * weights).sum(axis)
        return _reduced(each, reduction, each.numel())
    known = target != ignore_index
    chosen = torch.where(known, target, 0).unsqueeze(axis)
    heavy = weights.expand(logs.shape).gather(axis, chosen).squeeze(axis) * known
    each = -logs.gather(axis, chosen).squeeze(axis) * heavy
    smooth = -(logs * weights).sum(axis) * known
    total = each * (1.0 - label_smoothing) + smooth * (label_smoothing / classes)
    return _reduced(total, reduction, heavy.sum())


def _reduced(each: Tensor, reduction: int, count: Any) -> Tensor:
    if reduction == _MEAN:
        mean: Tensor = each.sum() / count
        return mean
    return each.sum() if reduction == _SUM else each


def native_batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the norm, and mean and reciprocal deviation where it is of the batch."""
    shape = [1, input.shape[1]] + [1] * (input.dim() - 2)
    if training or running_mean is None or running_var is None:
        others = [d for d in range(input.dim()) if d != 1]
        mean = input.mean(others)
        spread = (input - mean.reshape(shape)).square().mean(others)
        deviation = torch.rsqrt(spread + eps)
        kept = (mean, deviation)
    else:
        mean, deviation = running_mean, torch.rsqrt(running_var + eps)
        kept = (input.new_zeros(0), input.new_zeros(0))
    result = (input - mean.reshape(shape)) * deviation.reshape(shape)
    if weight is not None:
        result = result * weight.reshape(shape)
    if bias is not None:
        result = result + bias.reshape(shape)
    return result, *kept


def batch_norm_and_statistics(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor,
    running_var: Tensor,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, ...]:
    """Return what native_batch_norm does, and the running mean and variance after it."""
    options = (training, momentum, eps)
    results = native_batch_norm(input, weight, bias, running_mean, running_var, *options)
    if not training:
        return *results, running_mean.clone(), running_var.clone()
    others = [d for d in range(input.dim()) if d != 1]
    mean = input.mean(others)
    shape = [1, input.shape[1]] + [1] * (input.dim() - 2)
    count = input.numel() // input.shape[1]
    variance = (input - mean.reshape(shape)).square().sum(others) / (count - 1)
    return (
        *results,
        running_mean * (1.0 - momentum) + mean * momentum,
        running_var * (1.0 - momentum) + variance * momentum,
    )


def native_batch_norm_of_the_batch(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return native_batch_norm without running statistics."""
    return native_batch_norm(input, weight, bias, None, None, training, momentum, eps)


LOSSES: dict[Any, Callable[..., Any]] = {
    aten.cross_entropy_loss.default: cross_entropy_loss,
    aten.native_batch_norm.default: native_batch_norm,
    aten._native_batch_norm_legit.default: native_batch_norm,
    aten._native_batch_norm_legit.no_stats: native_batch_norm_of_the_batch,
    aten._native_batch_norm_legit_functional.default: batch_norm_and_statistics,
}
