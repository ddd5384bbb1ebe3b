"""QR of small matrices by Householder's reflections H = I - τvvᵀ, as LAPACK signs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rewrite.lowering.decompositions.matrices import columns, identity, of_small, rows
from rewrite.lowering.decompositions.versions import until_removed

aten = torch.ops.aten


def geqrf(self: Tensor) -> tuple[Tensor, Tensor]:
    """Return R and, below its diagonal, the vectors of the reflections [..., m, n]; their τ.

    The k-th makes the rest of the k-th column (α, x) to (β, 0), β = -sgn(α)·|(α, x)|:
    τ = (β - α) / β and v = (1, x / (α - β)); none, τ = 0, where x is 0 already.
    """
    matrix, factors = self, []
    for k in range(min(self.shape[-2:])):
        vector, factor, beta = _reflection(matrix, k)
        factors.append(factor.squeeze(-1))
        others = matrix - factor * vector * (vector * matrix).sum(-2, keepdim=True)
        at, below = rows(matrix) == k, rows(matrix) > k
        column = torch.where(below, vector, torch.where(at, beta, matrix[..., k : k + 1]))
        chosen = columns(matrix)
        # Columns on the left of this one keep their vectors.
        matrix = torch.where(chosen == k, column, torch.where(chosen > k, others, matrix))
    if not factors:
        return matrix.clone(), matrix.reshape((*matrix.shape[:-2], 0))
    return matrix, torch.cat(factors, -1)


def householder_product(input: Tensor, tau: Tensor) -> Tensor:
    """Return the first n columns of H₁H₂…Hₖ, of the vectors in [..., m, n] and of τ [..., k]."""
    made = identity(input, input.shape[-2])[:, : input.shape[-1]]
    made = made.expand((*input.shape[:-2], *made.shape))
    for k in reversed(range(tau.shape[-1])):
        made = _reflected(made, input, tau, k)
    return made


def ormqr(
    self: Tensor, input2: Tensor, input3: Tensor, left: bool = True, transpose: bool = False
) -> Tensor:
    """Return QC, QᵀC, CQ or CQᵀ for Q as its vectors and its τ in input2, and C in input3."""
    if not left:
        turned = ormqr(self, input2, input3.transpose(-2, -1), transpose=not transpose)
        return turned.transpose(-2, -1)
    count, made = input2.shape[-1], input3
    for k in range(count) if transpose else reversed(range(count)):
        made = _reflected(made, self, input2, k)
    return made


def linalg_qr(A: Tensor, mode: str = "reduced") -> tuple[Tensor, Tensor]:
    """Return Q and R of A = QR: reduced, complete, or with an empty Q for mode 'r'."""
    vectors, factors = geqrf(A)
    m, least = A.shape[-2], min(A.shape[-2:])
    if mode == "r":
        return A.new_empty((0,)), torch.triu(vectors[..., :least, :])
    if mode == "reduced" or m == least:
        return householder_product(vectors[..., :least], factors), torch.triu(
            vectors[..., :least, :]
        )
    filled = torch.nn.functional.pad(vectors, (0, m - least))
    return householder_product(filled, factors), torch.triu(vectors)


def qr(self: Tensor, some: bool = True) -> tuple[Tensor, Tensor]:
    """Return Q and R of A = QR, reduced or complete."""
    return linalg_qr(self, "reduced" if some else "complete")


def _reflection(matrix: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return v [..., m, 1], τ and β [..., 1, 1] for the k-th column."""
    column, number = matrix[..., k : k + 1], rows(matrix)
    alpha = column[..., k : k + 1, :]
    below = torch.where(number > k, column, 0.0)
    rest = (below * below).sum(-2, keepdim=True)
    done = rest == 0
    length = torch.sqrt(alpha * alpha + rest)
    beta = torch.where(done, alpha, torch.where(alpha < 0, length, -length))
    factor = torch.where(done, 0.0, (beta - alpha) / torch.where(done, 1.0, beta))
    vector = below / torch.where(done, 1.0, alpha - beta)
    return torch.where(number == k, 1.0, vector), factor, beta


def _reflected(matrix: Tensor, vectors: Tensor, factors: Tensor, k: int) -> Tensor:
    """Return HₖC for C [..., m, p]."""
    number = rows(vectors)
    below = torch.where(number > k, vectors[..., k : k + 1], 0.0)
    vector = torch.where(number == k, 1.0, below)
    factor = factors[..., k : k + 1].unsqueeze(-1)
    return matrix - factor * vector * (vector * matrix).sum(-2, keepdim=True)


REFLECTIONS: dict[Any, Callable[..., Any]] = {
    aten.geqrf.default: of_small("self", geqrf),
    aten.linalg_householder_product.default: of_small("input", householder_product),
    aten.ormqr.default: of_small("self", ormqr),
    aten.linalg_qr.default: of_small("A", linalg_qr),
    **until_removed("qr", of_small("self", qr)),
}
