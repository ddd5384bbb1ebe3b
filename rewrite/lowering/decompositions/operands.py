"""What the functions ask of their operands."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def as_float(x: Tensor) -> Tensor:
    """Return a tensor of floats, as torch promotes integers."""
    return x if x.is_floating_point() else x.to(torch.get_default_dtype())


def broadcast(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Return both in their common shape."""
    both: Any = torch.broadcast_tensors(left, right)  # type: ignore[no-untyped-call]
    return both[0], both[1]
