"""Functions of torch that fix a size, in terms of others that do not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from rewrite.sized_functions import ALWAYS, SIZED


def call_any_size(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a function, or what stands in for it where a size is a symbol and its kernel takes none.

    Where all sizes are known functions stay as they are, but for those that no file can hold.
    """
    other = ALWAYS.get(func)
    if other is None and func in SIZED and _is_symbolic((args, kwargs)):
        other = SIZED[func]
    if other is not None:
        result = other(*args, **kwargs)
        if result is not NotImplemented:
            return result
    return func(*args, **kwargs)


def _is_symbolic(values: Any) -> bool:
    leaves = pytree.tree_leaves(values)
    sizes = [v.shape if isinstance(v, Tensor) else (v,) for v in leaves]
    return any(isinstance(size, torch.SymInt) for shape in sizes for size in shape)
