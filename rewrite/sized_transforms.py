"""Fourier transforms of sizes that are symbols: torch branches on them, and makes √n a number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_LAST = (-2, -1)
_TO_REAL = (torch.fft.irfft, torch.fft.hfft, torch.fft.irfft2, torch.fft.irfftn)


def _over_axis(transform: Callable[..., Tensor], kept: str) -> Callable[..., Any]:
    """Return a transform of any size over one axis.

    Args:
        transform: of torch.fft, with the arguments (input, n, dim, norm).
        kept: the norm by which it divides by nothing.
    """

    def over_axis(
        input: Tensor, n: Any = None, dim: int = -1, norm: str | None = None, **options: Any
    ) -> Any:
        if options:
            return NotImplemented
        fitted, length = _fitted(input, n, dim), n
        if norm != "ortho":
            return transform(fitted, n, dim, norm)
        result = transform(fitted, n, dim, kept)
        if length is None:
            length = (result if transform in _TO_REAL else input).shape[dim]
        return result / torch.sym_sqrt(length)

    return over_axis


def _over_axes(transform: Callable[..., Tensor], kept: str, dims: Any = None) -> Any:
    """Return a transform of any size over several axes, (input, s, dim, norm), as `_over_axis`."""

    def over_axes(
        input: Tensor, s: Any = None, dim: Any = dims, norm: str | None = None, **options: Any
    ) -> Any:
        if options or isinstance(dim, int):
            return NotImplemented
        axes = dim if dim is not None else range(-len(s) if s is not None else -input.dim(), 0)
        fitted = input
        for axis, length in zip(axes, s if s is not None else (), strict=False):
            fitted = _fitted(fitted, length, axis)
        if norm != "ortho":
            return transform(fitted, s, dim, norm)
        result = transform(fitted, s, dim, kept)
        shaped = result if transform in _TO_REAL else fitted
        count: Any = 1
        for axis in axes:
            count = count * shaped.shape[axis]
        return result / torch.sym_sqrt(count)

    return over_axes


def _fitted(x: Tensor, length: Any, axis: int) -> Tensor:
    """Cut real numbers off at a length, or put zeros behind them; torch asks which of the two."""
    if length is None or length == -1 or x.is_complex() or isinstance(x.shape[axis], int):
        return x
    zeros = x.new_zeros(
        [length if place == axis % x.dim() else n for place, n in enumerate(x.shape)]
    )
    return torch.cat((x, zeros), axis).narrow(axis, 0, length)


TRANSFORMS: dict[Any, Callable[..., Any]] = {
    torch.fft.fft: _over_axis(torch.fft.fft, "backward"),
    torch.fft.fft2: _over_axes(torch.fft.fft2, "backward", _LAST),
    torch.fft.fftn: _over_axes(torch.fft.fftn, "backward"),
    torch.fft.hfft: _over_axis(torch.fft.hfft, "backward"),
    torch.fft.ifft: _over_axis(torch.fft.ifft, "forward"),
    torch.fft.ifft2: _over_axes(torch.fft.ifft2, "forward", _LAST),
    torch.fft.ifftn: _over_axes(torch.fft.ifftn, "forward"),
    torch.fft.ihfft: _over_axis(torch.fft.ihfft, "forward"),
    torch.fft.irfft: _over_axis(torch.fft.irfft, "forward"),
    torch.fft.irfft2: _over_axes(torch.fft.irfft2, "forward", _LAST),
    torch.fft.irfftn: _over_axes(torch.fft.irfftn, "forward"),
    torch.fft.rfft: _over_axis(torch.fft.rfft, "backward"),
    torch.fft.rfft2: _over_axes(torch.fft.rfft2, "backward", _LAST),
    torch.fft.rfftn: _over_axes(torch.fft.rfftn, "backward"),
}
"""By what they stand for."""
