"""Transposed convolutions, which the exporter knows only as a case of `convolution`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from onnxscript import opset18 as op

from rewrite import Lowering


def conv_transpose(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Sequence[int] = (1,),
    padding: Sequence[int] = (0,),
    output_padding: Sequence[int] = (0,),
    groups: int = 1,
    dilation: Sequence[int] = (1,),
) -> Any:
    """Translate aten.conv_transpose{1,2,3}d; one sample becomes a batch of one."""
    spatial = len(weight.shape) - 2
    pads = _per_dim(padding, spatial)
    first = op.Constant(value_ints=[0])
    batched = len(input.shape) == spatial + 2
    result = op.ConvTranspose(
        input if batched else op.Unsqueeze(input, first),
        weight,
        bias,
        strides=_per_dim(stride, spatial),
        pads=pads + pads,
        output_padding=_per_dim(output_padding, spatial),
        dilations=_per_dim(dilation, spatial),
        group=groups,
    )
    return result if batched else op.Squeeze(result, first)


def _per_dim(values: Sequence[int], spatial: int) -> list[int]:
    return list(values) * (spatial if len(values) == 1 else 1)


LOWERINGS = (
    Lowering(torch.ops.aten.conv_transpose1d.default, conv_transpose),
    Lowering(torch.ops.aten.conv_transpose2d.input, conv_transpose),
    Lowering(torch.ops.aten.conv_transpose3d.input, conv_transpose),
)
