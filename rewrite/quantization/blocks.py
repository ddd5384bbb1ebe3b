"""Integers with a scale per block of a matrix row."""

from __future__ import annotations

import torch
from torch import Tensor

_SHRINKS = 20
_SMALLEST = 0.5
"""The search tries ranges from the whole of a block's down to this part of it."""


def quantize_blocks(
    weight: Tensor, bits: int, block: int, *, symmetric: bool, search: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return (integers, scale, zero_point) of a matrix, each block of a row on its own.

    q = clamp(round(w/s) + z, 0, 2^b − 1) with s = (high − low)/(2^b − 1), zero always exactly;
    symmetric: q in [−2^(b−1), 2^(b−1) − 1] with z = 0, s the smallest that holds low and high.

    Args:
        weight: float32 [out, in].
        bits: 2 to 8.
        block: elements that share a scale; the last ones of a row may be fewer.
        symmetric: signed integers around zero, in int8; else unsigned ones, in uint8.
        search: shrink the range of each block to that of least square error.

    Returns:
        integers [out, in], scale float32 [out, ⌈in/block⌉], zero points of the integers' dtype.
    """
    rows, inputs = weight.shape
    # A range holds 0 and a 0 rounds to itself, so that what is filled up changes nothing.
    filled = torch.nn.functional.pad(weight.double(), (0, -inputs % block))
    blocks = filled.reshape(rows, -1, block)
    best = _Best(blocks)
    for step in range(_SHRINKS if search else 1):
        part = 1.0 - (1.0 - _SMALLEST) * step / _SHRINKS
        best.offer(*(_symmetric if symmetric else _asymmetric)(blocks, bits, part))
    integers = best.integers.reshape(rows, -1)[:, :inputs].contiguous()
    dtype = torch.int8 if symmetric else torch.uint8
    return integers.to(dtype), best.scale.squeeze(-1).float(), best.zero_point.squeeze(-1).to(dtype)


class _Best:
    """The candidate of least square error for each block so far."""

    def __init__(self, blocks: Tensor) -> None:
        self.blocks = blocks
        self.error = torch.full((*blocks.shape[:2], 1), torch.inf, dtype=torch.float64)
        self.integers = torch.zeros_like(blocks)
        self.scale = torch.ones_like(self.error)
        self.zero_point = torch.zeros_like(self.error)

    def offer(self, integers: Tensor, scale: Tensor, zero_point: Tensor) -> None:
        error = ((integers - zero_point) * scale - self.blocks).square().sum(-1, keepdim=True)
        better = error < self.error
        self.error = torch.where(better, error, self.error)
        self.integers = torch.where(better, integers, self.integers)
        self.scale = torch.where(better, scale, self.scale)
        self.zero_point = torch.where(better, zero_point, self.zero_point)


def _asymmetric(blocks: Tensor, bits: int, part: float) -> tuple[Tensor, Tensor, Tensor]:
    most = 2**bits - 1
    low = blocks.amin(-1, keepdim=True).clamp(max=0) * part
    high = blocks.amax(-1, keepdim=True).clamp(min=0) * part
    scale = _stored((high - low) / most)
    zero_point = (-low / scale).round().clamp(0, most)
    return ((blocks / scale).round() + zero_point).clamp(0, most), scale, zero_point


def _symmetric(blocks: Tensor, bits: int, part: float) -> tuple[Tensor, Tensor, Tensor]:
    half = 2 ** (bits - 1)
    low, high = blocks.amin(-1, keepdim=True), blocks.amax(-1, keepdim=True)
    scale = _stored(torch.maximum(high / (half - 1), -low / half) * part)
    integers = (blocks / scale).round().clamp(-half, half - 1)
    return integers, scale, torch.zeros_like(scale)


def _stored(scale: Tensor) -> Tensor:
    """Round to float32, as the file stores it; blocks of nothing but zeros have scale 1."""
    rounded = scale.float().double()
    return torch.where(rounded.abs() > torch.finfo(torch.float32).tiny, rounded, 1.0)
