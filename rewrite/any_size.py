"""Functions of torch that fix a size, in terms of others that do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils import _pytree as pytree

from rewrite.recurrent import whole_lstm, whole_recurrent


def call_any_size(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a function, or what stands in for it where a size is a symbol and its kernel takes none.

    Where all sizes are known functions stay as they are.
    """
    other = _OTHERS.get(func)
    if other is not None and _is_symbolic((args, kwargs)):
        result = other(*args, **kwargs)
        if result is not NotImplemented:
            return result
    return func(*args, **kwargs)


def _is_symbolic(values: Any) -> bool:
    leaves = pytree.tree_leaves(values)
    sizes = [v.shape if isinstance(v, Tensor) else (v,) for v in leaves]
    return any(isinstance(size, torch.SymInt) for shape in sizes for size in shape)


def _linspace(start: float, end: float, steps: Any, **options: Any) -> Tensor:
    """linspace(a, b, n) = a + (b - a)·i / max(n - 1, 1), i = 0 … n - 1."""
    places = torch.arange(steps, dtype=torch.get_default_dtype(), device=options.get("device"))
    last: Any = torch.sym_max(steps - 1, 1)  # type: ignore[no-untyped-call]
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


_OTHERS: dict[Any, Callable[..., Any]] = {
    torch.gru: whole_recurrent("gru"),
    torch.linspace: _linspace,
    torch.lstm: whole_lstm,
    torch.max_pool1d: _max_pool1d,
    torch.rnn_relu: whole_recurrent("relu"),
    torch.rnn_tanh: whole_recurrent("tanh"),
    functional.max_pool1d: _max_pool1d,
}
