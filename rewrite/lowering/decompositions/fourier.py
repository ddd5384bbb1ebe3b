"""Discrete Fourier transforms, by a product with their matrix or along the second axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from rewrite.lowering.fourier_matrix import BACK, FORWARD, FROM_REAL, TO_REAL, fourier_matrix

aten = torch.ops.aten
_BY_SIZE = 2
"""How torch normalizes: 0 is not at all, 1 by the root of the size, 2 by the size."""
_FAST = 256
"""Runtimes transform longer ones faster by halves, if they are powers of two."""
_MOST = 2**21
"""A matrix has no more elements: 8 MiB."""


def fft_c2c(self: Tensor, dim: Sequence[int], normalization: int, forward: bool) -> Any:
    """Transform complex numbers over `dim`, forth or back."""
    if list(dim) == [1] and normalization == _plain(forward) and not _is_by_matrix(self.shape[1]):
        return NotImplemented  # the DFT of ONNX, as all runtimes read it
    pairs = torch.view_as_real(self)
    for axis in dim:
        pairs = _transform(pairs, axis, forward)
    return torch.view_as_complex(_normalized(pairs, self.shape, dim, normalization))


def fft_r2c(self: Tensor, dim: Sequence[int], normalization: int, onesided: bool) -> Tensor:
    """Transform real numbers over `dim`; of the last one, `onesided` leaves n // 2 + 1 out of n."""
    *others, last = dim
    size: Any = self.shape[last]
    kept = size // 2 + 1 if onesided else size
    if _is_product(size, 2 * size * kept):
        pairs = _times(self.movedim(last, -1), FROM_REAL, size, kept).movedim(-2, last)
    else:
        both = torch.stack((self, torch.zeros_like(self)), -1)
        pairs = _transform(both, last, forward=True).narrow(last, 0, kept)
    for axis in others:
        pairs = _transform(pairs, axis, forward=True)
    return torch.view_as_complex(_normalized(pairs, self.shape, dim, normalization))


def fft_c2r(self: Tensor, dim: Sequence[int], normalization: int, last_dim_size: int) -> Tensor:
    """Transform back over `dim` to n real numbers, from n // 2 + 1 complex ones along the last.

    The others are the conjugates of those that are there, and the imaginary parts of the first and,
    with an even n, of the last count for nothing.
    """
    *others, last = dim
    pairs, size = torch.view_as_real(self), last_dim_size
    for axis in others:
        pairs = _transform(pairs, axis, forward=False)
    kept = size // 2 + 1
    if _is_product(size, 2 * size * kept):
        rows = pairs.movedim(last, -2).flatten(-2)
        values = _times(rows, TO_REAL, size, kept).movedim(-1, last)
    else:
        rest = pairs.narrow(last, 1, size - kept).flip(last)
        mirrored = torch.stack((rest.select(-1, 0), -rest.select(-1, 1)), -1)
        whole = torch.cat((pairs.narrow(last, 0, kept), mirrored), last)
        values = _transform(whole, last, forward=False).select(-1, 0)
    sizes = [size if axis == last else length for axis, length in enumerate(self.shape)]
    return _normalized(values, sizes, dim, normalization)


def _transform(pairs: Tensor, axis: int, forward: bool) -> Tensor:
    """Transform [..., n, ..., 2] over the axis of n, without any factor."""
    size: Any = pairs.shape[axis]
    if _is_by_matrix(size):
        rows = pairs.movedim(axis, -2).flatten(-2)
        return _times(rows, FORWARD if forward else BACK, size, size).movedim(-2, axis)
    # OpenVINO 2026.4 takes the axis of a DFT for 1, and shapes one-sided ones in another way.
    rows = pairs.unsqueeze(0).movedim(axis + 1, 1)
    found = aten._fft_c2c.default(torch.view_as_complex(rows), [1], _plain(forward), forward)
    plain: Tensor = torch.view_as_real(found).movedim(1, axis + 1).squeeze(0)
    return plain if forward else plain * size


def _plain(forward: bool) -> int:
    """Return how a DFT of ONNX is normalized: its inverse divides by n."""
    return 0 if forward else _BY_SIZE


def _is_by_matrix(size: Any) -> bool:
    return _is_product(size, 4 * size**2)


def _is_product(size: Any, elements: Any) -> bool:
    if not isinstance(size, int) or elements > _MOST:
        return False
    return size <= _FAST or bool(size & (size - 1))


def _times(rows: Tensor, transform: str, size: int, kept: int) -> Tensor:
    """Return rows [..., a] transformed: [..., n] real numbers, or pairs [..., k, 2]."""
    product: Tensor = rows @ fourier_matrix(rows, transform, size, kept)
    return product if transform == TO_REAL else product.reshape((*rows.shape[:-1], kept, 2))


def _normalized(result: Tensor, sizes: Any, axes: Sequence[int], normalization: int) -> Tensor:
    """Divide by the number of what was transformed, or by its root."""
    if not normalization:
        return result
    count: Any = 1
    for axis in axes:
        count = count * sizes[axis]
    if normalization != _BY_SIZE:
        count = math.sqrt(count) if isinstance(count, int) else torch.sym_sqrt(count)
    divided: Tensor = result / count
    return divided


FOURIER: dict[Any, Callable[..., Any]] = {
    aten._fft_c2c.default: fft_c2c,
    aten._fft_c2r.default: fft_c2r,
    aten._fft_r2c.default: fft_r2c,
}
