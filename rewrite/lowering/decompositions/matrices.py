"""Small matrices: what eliminations share, unrolled over their rows."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

LARGEST = 32
"""Rows and columns up to which an elimination is unrolled: it takes some ten operators for each."""


def of_small(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that declines unless the matrix of that name is real, known and small."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def declining(*args: Any, **kwargs: Any) -> Any:
        matrix = signature.bind(*args, **kwargs).arguments[name]
        small = all(isinstance(size, int) and size <= LARGEST for size in matrix.shape[-2:])
        return NotImplemented if matrix.is_complex() or not small else function(*args, **kwargs)

    return declining


def rows(matrix: Tensor) -> Tensor:
    """Return the number of each row, [m, 1]."""
    return torch.arange(matrix.shape[-2], device=matrix.device).unsqueeze(-1)


def columns(matrix: Tensor) -> Tensor:
    """Return the number of each column, [n]."""
    return torch.arange(matrix.shape[-1], device=matrix.device)


def identity(like: Tensor, size: int) -> Tensor:
    """Return the identity of a size, with the type of another matrix."""
    return torch.eye(size, dtype=like.dtype, device=like.device)


def swapped(matrix: Tensor, row: int, other: Tensor) -> Tensor:
    """Return a matrix [..., m, n] with a row and that of number `other`, [..., 1, 1], exchanged."""
    number = rows(matrix)
    upper = matrix[..., row : row + 1, :]
    lower = torch.gather(matrix, -2, other.expand(upper.shape))
    return torch.where(number == row, lower, torch.where(number == other, upper, matrix))


def solved_triangular(matrix: Tensor, right: Tensor, *, upper: bool, unit: bool) -> Tensor:
    """Return x of Tx = b for a triangular T [..., n, n] and b [..., n, k], row by row."""
    size = matrix.shape[-1]
    for k in reversed(range(size)) if upper else range(size):
        row = right[..., k : k + 1, :]
        if not unit:
            row = row / matrix[..., k : k + 1, k : k + 1]
        number = rows(right)
        left = number < k if upper else number > k
        rest = torch.where(left, matrix[..., k : k + 1] * row, 0.0)
        right = torch.where(number == k, row, right - rest)
    return right
