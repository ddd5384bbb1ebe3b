"""Systems of a few linear equations: LU, Cholesky, triangular solves, inverses, determinants.

Written out row by row, as LAPACK eliminates: the row with the largest |pivot| first. A matrix of
more than 32 rows, or of a number that is not known, is declined.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from rewrite.lowering.decompositions.matrices import (
    columns,
    identity,
    of_small,
    rows,
    solved_triangular,
    swapped,
)
from rewrite.lowering.decompositions.operands import broadcast
from rewrite.lowering.decompositions.versions import until_removed

aten = torch.ops.aten


def lu_factor_ex(
    A: Tensor, *, pivot: bool = True, check_errors: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Return L and U in one matrix [..., m, n], its row exchanges, and the first pivot of 0."""
    matrix, steps = A, min(A.shape[-2:])
    chosen, zeros = [], []
    for k in range(steps):
        if pivot:
            largest = torch.argmax(matrix[..., k:, k].abs(), -1, keepdim=True).unsqueeze(-1) + k
            matrix = swapped(matrix, k, largest)
        else:
            largest = torch.full_like(matrix[..., :1, :1], k).to(torch.int64)
        chosen.append(largest.squeeze(-1))
        diagonal = matrix[..., k : k + 1, k : k + 1]
        zero = diagonal == 0
        zeros.append(zero.squeeze(-1))
        below = rows(matrix) > k
        factors = matrix[..., k : k + 1] / torch.where(zero, 1.0, diagonal)
        factors = torch.where(below, factors, 0.0)
        right = columns(matrix) > k
        product = factors * torch.where(right, matrix[..., k : k + 1, :], 0.0)
        matrix = torch.where(below & (columns(matrix) == k), factors, matrix - product)
    if not steps:
        count = A[..., :0, :0].sum(-1).sum(-1).to(torch.int32)
        return A.clone(), A[..., :0, :0].sum(-1).to(torch.int32), count
    pivots = torch.cat(chosen, -1).to(torch.int32) + 1
    return matrix, pivots, _first(torch.cat(zeros, -1))


def lu_factor(A: Tensor, *, pivot: bool = True) -> tuple[Tensor, Tensor]:
    """Return L and U in one matrix, and its row exchanges."""
    factored, pivots, _ = lu_factor_ex(A, pivot=pivot)
    return factored, pivots


def lu(A: Tensor, *, pivot: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """Return P, L and U with A = PLU; P is empty without pivoting."""
    order, lower, upper = lu_unpack(*lu_factor(A, pivot=pivot))
    return (order if pivot else A.new_empty((0,))), lower, upper


def lu_unpack(
    LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Return P, L and U of a factored matrix [..., m, n]."""
    empty = LU_data.new_empty((0,))
    lower, upper, order = empty, empty, empty
    m, n = LU_data.shape[-2:]
    if unpack_data:
        least = min(m, n)
        lower = torch.tril(LU_data[..., :least], -1) + identity(LU_data, m)[:, :least]
        upper = torch.triu(LU_data[..., :least, :])
    if unpack_pivots:
        order = _exchanged(identity(LU_data, m), LU_pivots).transpose(-2, -1)
    return order, lower, upper


def lu_solve(
    LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False
) -> Tensor:
    """Return X of AX = B or XA = B, A or its transpose being factored."""
    if not left:
        made = lu_solve(LU, pivots, B.transpose(-2, -1), adjoint=not adjoint)
        return made.transpose(-2, -1)
    if not adjoint:
        below = solved_triangular(LU, _exchanged(B, pivots), upper=False, unit=True)
        return solved_triangular(LU, below, upper=True, unit=False)
    turned = LU.transpose(-2, -1)
    above = solved_triangular(turned, B, upper=False, unit=False)
    return _exchanged(solved_triangular(turned, above, upper=True, unit=True), pivots, back=True)


def old_lu_solve(self: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
    """Return X of AX = B."""
    return lu_solve(LU_data, LU_pivots, self)


def solve_ex(
    A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return X of AX = B or XA = B, what A is factored to, its exchanges, and a pivot of 0."""
    factored, pivots, info = lu_factor_ex(A)
    # As torch has it: b of one dimension less than A, or of A's without its last, is vectors.
    is_vector = B.dim() == 1 or (A.dim() - 1 == B.dim() and tuple(A.shape[:-1]) == tuple(B.shape))
    right = B.unsqueeze(-1) if is_vector else B
    found = lu_solve(factored, pivots, right, left=left)
    return (found.squeeze(-1) if is_vector else found), factored, pivots, info


def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """Return X of AX = B or XA = B."""
    return solve_ex(A, B, left=left)[0]


def inv_ex(A: Tensor, *, check_errors: bool = False) -> tuple[Tensor, Tensor]:
    """Return the inverse, and the first pivot of 0."""
    factored, pivots, info = lu_factor_ex(A)
    unit = identity(A, A.shape[-1]).expand(A.shape)
    return lu_solve(factored, pivots, unit), info


def inv(A: Tensor) -> Tensor:
    """Return the inverse."""
    return inv_ex(A)[0]


def tensorinv(self: Tensor, ind: int = 2) -> Tensor:
    """Return the inverse of the matrix that the first `ind` axes and the others make."""
    first, last = tuple(self.shape[:ind]), tuple(self.shape[ind:])
    made = of_small("A", inv)(self.reshape((math.prod(last), -1)))
    return made if made is NotImplemented else made.reshape((*last, *first))


def tensorsolve(self: Tensor, other: Tensor, dims: Sequence[int] | None = None) -> Tensor:
    """Return X of AX = B, the last axes of A being those of X, `dims` moved there first."""
    matrix = self if dims is None else self.movedim(list(dims), list(range(-len(dims), 0)))
    shape = tuple(matrix.shape[other.dim() :])
    size = math.prod(shape)
    made = of_small("A", solve)(matrix.reshape((size, size)), other.reshape((size,)))
    return made if made is NotImplemented else made.reshape(shape)


def slogdet_ex(A: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the sign and the logarithm of |det A|, what A is factored to, and its exchanges."""
    factored, pivots, _ = lu_factor_ex(A)
    diagonal = torch.diagonal(factored, dim1=-2, dim2=-1)
    places = torch.arange(1, pivots.shape[-1] + 1, dtype=torch.int32, device=A.device)
    turns = (pivots != places).to(A.dtype)
    sign = torch.prod(torch.sign(diagonal) * (1.0 - 2.0 * turns), -1)
    return sign, torch.log(diagonal.abs()).sum(-1), factored, pivots


def slogdet(A: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sign and the logarithm of |det A|."""
    sign, logarithm, _, _ = slogdet_ex(A)
    return sign, logarithm


def cholesky_ex(
    self: Tensor, *, upper: bool = False, check_errors: bool = False
) -> tuple[Tensor, Tensor]:
    """Return L of A = LLᵀ, or Lᵀ, and the first minor that is not positive."""
    matrix = self.transpose(-2, -1) if upper else self
    found, bad = [], []
    for k in range(matrix.shape[-1]):
        diagonal = matrix[..., k : k + 1, k : k + 1]
        bad.append(~(diagonal > 0).squeeze(-1))
        column = torch.where(rows(matrix) >= k, matrix[..., k : k + 1] / torch.sqrt(diagonal), 0.0)
        matrix = matrix - column * column.transpose(-2, -1)
        found.append(column)
    if not found:
        return self.clone(), self[..., :0, :0].sum(-1).sum(-1).to(torch.int32)
    lower = torch.cat(found, -1)
    return (lower.transpose(-2, -1) if upper else lower), _first(torch.cat(bad, -1))


def cholesky(self: Tensor, upper: bool = False) -> Tensor:
    """Return L of A = LLᵀ, or Lᵀ."""
    return cholesky_ex(self, upper=upper)[0]


def cholesky_solve(self: Tensor, input2: Tensor, upper: bool = False) -> Tensor:
    """Return x of LLᵀx = b."""
    lower = input2.transpose(-2, -1) if upper else input2
    below = solved_triangular(lower, self, upper=False, unit=False)
    return solved_triangular(lower.transpose(-2, -1), below, upper=True, unit=False)


def cholesky_inverse(self: Tensor, upper: bool = False) -> Tensor:
    """Return the inverse of LLᵀ."""
    return cholesky_solve(identity(self, self.shape[-1]).expand(self.shape), self, upper)


def solve_triangular(
    self: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """Return X of TX = B, or of XT = B."""
    if left:
        return solved_triangular(self, B, upper=upper, unit=unitriangular)
    turned = self.transpose(-2, -1), B.transpose(-2, -1)
    return solved_triangular(*turned, upper=not upper, unit=unitriangular).transpose(-2, -1)


def triangular_solve(
    self: Tensor,
    A: Tensor,
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return x of Tx = b or Tᵀx = b, and T."""
    matrix = A.transpose(-2, -1) if transpose else A
    found = solved_triangular(matrix, self, upper=upper != transpose, unit=unitriangular)
    return found, A.clone()


def _exchanged(matrix: Tensor, pivots: Tensor, *, back: bool = False) -> Tensor:
    """Return a matrix [..., m, n] with its rows exchanged as the pivots [..., k] tell, in turn."""
    steps = pivots.shape[-1]
    # Each may have a batch that the other lacks.
    wide, _ = broadcast(matrix[..., 0], pivots[..., :1])
    matrix = matrix.expand((*wide.shape[:-1], *matrix.shape[-2:]))
    others = pivots.to(torch.int64).unsqueeze(-1) - 1
    for k in reversed(range(steps)) if back else range(steps):
        matrix = swapped(matrix, k, others[..., k : k + 1, :])
    return matrix


def _first(flags: Tensor) -> Tensor:
    """Return the number of the first flag that is set, from 1; 0 where none is."""
    counted = torch.arange(1, flags.shape[-1] + 1, dtype=torch.int32, device=flags.device)
    count = flags.shape[-1] + 1
    first = torch.where(flags, counted, count).amin(-1).to(torch.int32)
    return torch.where(first == count, 0, first).to(torch.int32)


LINEAR_SYSTEMS: dict[Any, Callable[..., Any]] = {
    aten.linalg_lu_factor_ex.default: of_small("A", lu_factor_ex),
    aten.linalg_lu_factor.default: of_small("A", lu_factor),
    aten.linalg_lu.default: of_small("A", lu),
    aten.lu_unpack.default: of_small("LU_data", lu_unpack),
    aten.linalg_lu_solve.default: of_small("LU", lu_solve),
    aten.lu_solve.default: of_small("LU_data", old_lu_solve),
    aten._linalg_solve_ex.default: of_small("A", solve_ex),
    aten.linalg_solve.default: of_small("A", solve),
    aten.linalg_inv_ex.default: of_small("A", inv_ex),
    aten.linalg_inv.default: of_small("A", inv),
    aten.inverse.default: of_small("A", inv),
    aten.linalg_tensorinv.default: tensorinv,
    aten.linalg_tensorsolve.default: tensorsolve,
    aten._linalg_slogdet.default: of_small("A", slogdet_ex),
    aten.linalg_slogdet.default: of_small("A", slogdet),
    aten.slogdet.default: of_small("A", slogdet),
    aten.linalg_cholesky_ex.default: of_small("self", cholesky_ex),
    aten.linalg_cholesky.default: of_small("self", cholesky),
    **until_removed("cholesky", of_small("self", cholesky)),
    aten.cholesky_solve.default: of_small("input2", cholesky_solve),
    aten.cholesky_inverse.default: of_small("self", cholesky_inverse),
    aten.linalg_solve_triangular.default: of_small("self", solve_triangular),
    aten.triangular_solve.default: of_small("A", triangular_solve),
}
