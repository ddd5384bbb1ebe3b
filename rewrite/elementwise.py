"""Operators that compute each element of their result from one of each input, wherever it is."""

from __future__ import annotations

import torch

__all__ = ["ACTIVATIONS", "SUMS_AND_PRODUCTS"]

aten = torch.ops.aten

ACTIVATIONS = (
    aten.relu.default,
    aten.clamp.default,
    aten.clamp_min.default,
    aten.hardtanh.default,
    aten.relu6.default,
    aten.leaky_relu.default,
    aten.sigmoid.default,
    aten.tanh.default,
    aten.gelu.default,
    aten.silu.default,
    aten.elu.default,
    aten.mish.default,
    aten.softplus.default,
    aten.hardswish.default,
    aten.hardsigmoid.default,
)
"""Their first argument is the input, the others are numbers."""

SUMS_AND_PRODUCTS = (aten.add.Tensor, aten.mul.Tensor, aten.sub.Tensor)
"""Their arguments `self` and `other` are broadcast."""
