"""Convolutions over volumes, for which the exporter makes up a bias of the wrong shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from onnxscript import opset18 as op

from rewrite import Lowering


def conv3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Sequence[int] = (1, 1, 1),
    padding: Sequence[int] = (0, 0, 0),
    dilation: Sequence[int] = (1, 1, 1),
    groups: int = 1,
) -> Any:
    """Translate aten.conv3d; one sample becomes a batch of one."""
    first = op.Constant(value_ints=[0])
    batched = len(input.shape) == len(weight.shape)
    result = op.Conv(
        input if batched else op.Unsqueeze(input, first),
        weight,
        bias,
        strides=_per_dim(stride),
        pads=_per_dim(padding) * 2,
        dilations=_per_dim(dilation),
        group=groups,
    )
    return result if batched else op.Squeeze(result, first)


def _per_dim(values: Sequence[int]) -> list[int]:
    return list(values) * (3 if len(values) == 1 else 1)


LOWERINGS = (Lowering(torch.ops.aten.conv3d.default, conv3d),)
