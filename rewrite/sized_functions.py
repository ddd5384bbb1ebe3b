"""Functions of torch that fix a size, branch on values or loop, in terms of others that do not."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental.symbolic_shapes import statically_known_true
from torch.nn import functional
from torch.utils import _pytree as pytree

from rewrite.embedding_bag import whole_bags
from rewrite.recurrent import whole_lstm, whole_recurrent
from rewrite.sized_transforms import TRANSFORMS


def _larger(size: Any, other: int) -> Any:
    return torch.sym_max(size, other)  # type: ignore[no-untyped-call]


def _smaller(size: Any, other: int) -> Any:
    return torch.sym_min(size, other)  # type: ignore[no-untyped-call]


def _linspace(start: float, end: float, steps: Any, **options: Any) -> Tensor:
    """linspace(a, b, n) = a + (b - a)·i / max(n - 1, 1), i = 0 … n - 1."""
    places = torch.arange(steps, dtype=torch.get_default_dtype(), device=options.get("device"))
    last = _larger(steps - 1, 1)
    values: Tensor = places / last * (end - start) + start
    return values.to(options["dtype"]) if options.get("dtype") else values


def _max_pool1d(
    input: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """max_pool1d(x) = max_pool2d(x with one row)."""
    pool: Callable[..., Any] = functional.max_pool2d
    result = pool(
        input.unsqueeze(-2),
        (1, _one(kernel_size)),
        (1, _one(stride or kernel_size)),
        (0, _one(padding)),
        (1, _one(dilation)),
        ceil_mode,
        return_indices,
    )
    return pytree.tree_map(lambda each: each.squeeze(-2), result)


def _one(value: int | Sequence[int]) -> int:
    return value if isinstance(value, int) else value[0]


def _logspace(start: Any, end: Any, steps: Any, base: float = 10.0, **options: Any) -> Any:
    """logspace(a, b, n) = base^linspace(a, b, n)."""
    if isinstance(start, Tensor) or isinstance(end, Tensor):
        return NotImplemented
    dtype = options.pop("dtype", None)
    values = torch.pow(base, _linspace(start, end, steps, **options))
    return values.to(dtype) if dtype else values


def _cosines(raised: float) -> Callable[..., Any]:
    """Return the window a - (1 - a)·cos 2πi/n, n one less where it is symmetric."""

    def window(
        window_length: Any,
        periodic: bool = True,
        *coefficients: float,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> Any:
        if coefficients:
            return NotImplemented
        places = torch.arange(window_length, device=options.get("device")).to(
            dtype or torch.get_default_dtype()
        )
        last = window_length if periodic else _larger(window_length - 1, 1)
        return raised - (1.0 - raised) * torch.cos(places * (2.0 * math.pi) / last)

    return window


def _take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """take_along_dim(x, i, d) = gather(x, d, i), both broadcast in all dimensions but d."""
    if dim is None:
        return input.reshape(-1).gather(0, indices.reshape(-1))
    dim %= input.dim()
    pairs = list(zip(input.shape, indices.shape, strict=True))
    common = [size if isinstance(other, int) and other == 1 else other for size, other in pairs]
    wide = [size if d == dim else common[d] for d, (size, _) in enumerate(pairs)]
    places = [other if d == dim else common[d] for d, (_, other) in enumerate(pairs)]
    return input.expand(wide).gather(dim, indices.expand(places))


def _cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str | None = None) -> Tensor:
    """Return the distances as such; eager torch takes them from products for more than 25 rows."""
    return torch.cdist(x1, x2, p, compute_mode="donot_use_mm_for_euclid_dist")


def _one_hot(input: Tensor, num_classes: Any = -1) -> Any:
    """one_hot(i, n) = (i = 0 … n - 1)."""
    if isinstance(num_classes, int):
        return NotImplemented
    return (input.unsqueeze(-1) == torch.arange(num_classes, device=input.device)).to(torch.int64)


def _affine_grid(theta: Tensor, size: Sequence[Any], align_corners: bool | None = None) -> Tensor:
    """Return (x, y[, z], 1)·θᵀ at all places, from -1 to 1 at corners or at their outer edges."""
    spatial = list(size)[2:]
    axes = []
    for place, count in enumerate(spatial):
        steps = torch.arange(count, device=theta.device).to(theta.dtype)
        if align_corners:
            axis = steps * 2.0 / _larger(count - 1, 1) - 1.0
        else:
            axis = (steps * 2.0 + 1.0) / count - 1.0
        shape = [1] * len(spatial)
        shape[place] = count
        axes.append(axis.reshape(shape).expand(spatial))
    base = torch.stack([*reversed(axes), torch.ones_like(axes[0])], -1)
    rows = base.reshape(1, -1, len(spatial) + 1) @ theta.transpose(1, 2)
    return rows.reshape(size[0], *spatial, len(spatial))


def _kron(input: Tensor, other: Tensor) -> Tensor:
    """kron(a, b) = a ⊗ b, each element of a in the place of a block."""
    rank = max(input.dim(), other.dim())
    left, right = (t.reshape([1] * (rank - t.dim()) + list(t.shape)) for t in (input, other))
    sizes = [m * n for m, n in zip(left.shape, right.shape, strict=True)]
    for axis in range(rank):
        left, right = left.unsqueeze(2 * axis + 1), right.unsqueeze(2 * axis)
    return (left * right).reshape(sizes)


def _chunk(input: Tensor, chunks: int, dim: int = 0) -> Any:
    """Return parts of one size, which the size is known to be a multiple of."""
    size: Any = input.shape[dim]
    if isinstance(size, int) or not statically_known_true(size % chunks == 0):
        return NotImplemented
    part = size // chunks
    return tuple(input.narrow(dim, i * part, part) for i in range(chunks))


def _tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> Any:
    """Return n parts of ⌊s/n⌋, the first s mod n of them one larger."""
    size: Any = input.shape[dim]
    if isinstance(size, int) or not isinstance(indices_or_sections, int):
        return NotImplemented
    part, rest = size // indices_or_sections, size % indices_or_sections
    starts = [i * part + _smaller(rest, i) for i in range(indices_or_sections + 1)]
    return tuple(input.narrow(dim, start, end - start) for start, end in itertools.pairwise(starts))


def _cov(
    input: Tensor,
    *,
    correction: int = 1,
    fweights: Tensor | None = None,
    aweights: Tensor | None = None,
) -> Any:
    """cov(x) = Σ w·(x - x̄)(x - x̄)ᵀ / (Σw - correction·Σwa/Σw), w = f·a and x̄ = Σw·x/Σw."""
    if input.is_complex():
        return NotImplemented
    x = input if input.is_floating_point() else input.to(torch.get_default_dtype())
    rows = x.reshape(1, -1) if x.dim() < 2 else x
    weights = torch.ones_like(rows[0])
    for each in (fweights, aweights):
        weights = weights if each is None else weights * each
    total = weights.sum()
    away = rows - (rows * weights).sum(1, keepdim=True) / total
    lost = 1.0 if aweights is None else (weights * aweights).sum() / total
    product = (away * weights) @ away.t() / (total - correction * lost).clamp(min=0.0)
    one = isinstance(rows.shape[0], int) and rows.shape[0] == 1
    return product.reshape(()) if one else product


def _corrcoef(input: Tensor) -> Any:
    """corrcoef(x) = cov(x) over the product of deviations, in [-1, 1]."""
    covariance = _cov(input)
    if covariance is NotImplemented:
        return NotImplemented
    if covariance.dim() == 0:
        return covariance / covariance
    deviation = covariance.diagonal().sqrt()
    scaled = covariance / deviation.unsqueeze(1) / deviation.unsqueeze(0)
    return scaled.clamp(-1.0, 1.0)


SIZED: dict[Any, Callable[..., Any]] = {
    functional.affine_grid: _affine_grid,
    functional.one_hot: _one_hot,
    Tensor.chunk: _chunk,
    Tensor.take_along_dim: _take_along_dim,
    Tensor.tensor_split: _tensor_split,
    torch.cdist: _cdist,
    torch.chunk: _chunk,
    torch.hamming_window: _cosines(0.54),
    torch.hann_window: _cosines(0.5),
    torch.kron: _kron,
    Tensor.kron: _kron,
    torch.logspace: _logspace,
    torch.take_along_dim: _take_along_dim,
    torch.tensor_split: _tensor_split,
    torch.gru: whole_recurrent("gru"),
    torch.linspace: _linspace,
    torch.lstm: whole_lstm,
    torch.max_pool1d: _max_pool1d,
    torch.rnn_relu: whole_recurrent("relu"),
    torch.rnn_tanh: whole_recurrent("tanh"),
    functional.max_pool1d: _max_pool1d,
    **TRANSFORMS,
}
"""By what they stand for, where a size is a symbol."""

ALWAYS: dict[Any, Callable[..., Any]] = {
    functional.embedding_bag: whole_bags,
    torch.corrcoef: _corrcoef,
    torch.cov: _cov,
    Tensor.corrcoef: _corrcoef,
    Tensor.cov: _cov,
}
"""At every size: their kernels branch on values, or are loops in a file."""
