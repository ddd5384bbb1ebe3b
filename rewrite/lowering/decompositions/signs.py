"""Signs of zero, and the angles that depend on them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rewrite.lowering.decompositions.operands import as_float, broadcast

aten, prims = torch.ops.aten, torch.ops.prims


def signbit(self: Tensor) -> Tensor:
    """Return whether x is below zero or -0, by which one is -∞."""
    if not self.is_floating_point():
        return self < 0
    # A quotient, for ONNX Runtime 1.31 says that Reciprocal(-0.0) is ∞.
    return (self < 0) | ((self == 0) & (torch.ones_like(self) / self < 0))


def copysign(self: Tensor, other: Any) -> Tensor:
    """|a| with the sign of b."""
    size = as_float(self).abs()
    if not isinstance(other, Tensor):
        return -size if math.copysign(1.0, other) < 0 else size
    wide = torch.promote_types(size.dtype, other.dtype)
    return torch.where(signbit(other), -size, size).to(wide)


def atan2(self: Tensor, other: Tensor) -> Tensor:
    """arctan(y/x), half a turn farther on the side of y where x is below zero or -0."""
    y, x = as_float(self), as_float(other)
    y, x = broadcast(y, x)
    both = y.isinf() & x.isinf()
    ratio = torch.where(both, torch.sign(y) * torch.sign(x), y / x)
    angle = torch.where((y == 0) & (x == 0), y, torch.atan(ratio))
    # arctan(y/x) has lost the sign of a zero y, which is that of y where x is above zero.
    angle = torch.where((y == 0) & signbit(x), 0.0, angle)
    half = math.pi - 2 * math.pi * signbit(y).to(angle.dtype)
    return torch.where(signbit(x), angle + half, angle)


def angle(self: Tensor) -> Any:
    """π below zero, else 0."""
    if self.is_complex():
        return NotImplemented
    x = as_float(self)
    turned = math.pi * (x < 0).to(x.dtype)
    return torch.where(x.isnan(), x, turned)


SIGNS: dict[Any, Callable[..., Any]] = {
    aten.angle.default: angle,
    aten.atan2.default: atan2,
    aten.copysign.Scalar: copysign,
    aten.copysign.Tensor: copysign,
    aten.signbit.default: signbit,
    prims.signbit.default: signbit,
}
