"""The matrices of discrete Fourier transforms, constants that decompositions multiply with."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from onnxscript import opset18 as op
from torch import Tensor

FORWARD, BACK = "forward", "back"
"""Complex numbers to complex numbers, as pairs: [2n, 2n]."""
FROM_REAL, TO_REAL = "from real", "to real"
"""n real numbers to k complex ones, [n, 2k], and back, [2k, n]; k is n // 2 + 1 or, forth, n."""

_LATEST = 8


@torch.library.custom_op("rewrite::fourier_matrix", mutates_args=())
def fourier_matrix(like: Tensor, transform: str, size: int, kept: int) -> Tensor:
    """Return the matrix of a transform of `size` numbers, as what stands in front of it.

    Args:
        like: of the floating-point type that the matrix gets.
        transform: FORWARD, BACK, FROM_REAL or TO_REAL; none divides by n.
        size: n, of the real numbers where some are.
        kept: k, the complex numbers that are written down.
    """
    return torch.from_numpy(matrix(transform, size, kept)).to(like)


@fourier_matrix.register_fake
def _(like: Tensor, transform: str, size: int, kept: int) -> Tensor:
    rows = size if transform == FROM_REAL else 2 * kept
    columns = size if transform == TO_REAL else 2 * kept
    return like.new_empty(rows, columns)


def matrix(transform: str, size: int, kept: int) -> NDArray[np.float64]:
    """Return the matrix of a transform: what each real number adds to each of the result.

    (a + bi)·(c + si) = (ac - bs) + (as + bc)i with c + si = exp(∓2πi·jk / n). On the way to real
    numbers the conjugates that are not written down add as much as those that are.
    """
    sign = -1.0 if transform in (FORWARD, FROM_REAL) else 1.0
    places = np.arange(size)
    angles = np.outer(places, places) % size * (2.0 * math.pi / max(size, 1))
    cosines, sines = np.cos(angles), sign * np.sin(angles)
    real, imaginary = np.stack((cosines, sines), -1), np.stack((-sines, cosines), -1)
    whole = np.stack((real, imaginary), 1)
    if transform == FROM_REAL:
        return whole[:, 0, :kept].reshape(size, 2 * kept)
    if transform == TO_REAL:
        part = whole[:kept, :, :, 0]
        part[1 : size - kept + 1] *= 2.0
        return part.reshape(2 * kept, size)
    return whole.reshape(2 * size, 2 * size)


def _translate(like: Any, transform: str, size: int, kept: int) -> Any:
    held: Any = _tensor(transform, size, kept, like.dtype)
    return op.Constant(value=held)


@functools.lru_cache(maxsize=_LATEST)
def _tensor(transform: str, size: int, kept: int, dtype: ir.DataType) -> ir.TensorProtocol:
    """Return the same object for the same matrix: a file holds it once."""
    return ir.tensor(matrix(transform, size, kept).astype(dtype.numpy()))


FOURIER_MATRIX: dict[Any, Callable[..., Any]] = {
    torch.ops.rewrite.fourier_matrix.default: _translate
}
