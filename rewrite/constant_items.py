"""Numbers that are read from weights alone are constants of a graph."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils import _pytree as pytree
from torch.utils.weak import WeakIdKeyDictionary

_READS = {
    Tensor.item,
    Tensor.tolist,
    Tensor.__bool__,
    Tensor.__int__,
    Tensor.__float__,
    Tensor.__index__,
}
_OF_SIZES = {
    functional.interpolate,
    functional.pad,
    torch.full,
    torch.ones,
    torch.zeros,
    Tensor.expand,
    Tensor.new_full,
    Tensor.new_ones,
    Tensor.new_zeros,
    Tensor.repeat,
    Tensor.reshape,
    Tensor.tile,
    Tensor.view,
}
"""What takes tensors for sizes: each reads them itself."""
Call = Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]


class ConstantItems:
    """Answers `item()`, `int()`, `bool()` and their like where a tensor follows from weights alone.

    Sizes that are such tensors, as those of a padding, are read by torch itself: these are numbers.

    How each tensor was computed is noted, and computed only when its value is asked for. A tensor
    that was written in place, or drawn, is no constant.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._real = dict(_weights(model))
        self._computed: Any = WeakIdKeyDictionary()

    def call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> Any:
        """Answer a function, or call it by `call`, and note what it computes."""
        if func in _READS:
            value = self._value(args[0], {id(t): n for n, t in _weights(self._model)})
            return call(func, args, kwargs) if value is None else func(value)
        if func in _OF_SIZES:
            args = tuple(self._counted(arg) if _is_counted(arg) else arg for arg in args)
            kwargs = {k: self._counted(v) if _is_counted(v) else v for k, v in kwargs.items()}
        result = call(func, args, kwargs)
        if _writes(func) or kwargs.get("out") is not None:
            for tensor in filter(_is_tensor, pytree.tree_leaves((args, kwargs))):
                self._computed[tensor] = None
        # Nearly all calls ask for a size, a stride or a layout, of which nothing is noted.
        elif _is_tensor(result):
            leaves = pytree.tree_leaves((args, kwargs))
            given = list(filter(_is_tensor, leaves))
            # long() of whole numbers returns what it is given, of which all is noted.
            if given and not any(result is each for each in given) and _is_known(leaves):
                self._computed[result] = (func, args, kwargs)
        return result

    def _counted(self, sizes: list[Any] | tuple[Any, ...]) -> list[Any] | tuple[Any, ...]:
        """Put numbers for the tensors among sizes, as torch does, where they are constants."""
        names = {id(t): n for n, t in _weights(self._model)}
        values = [self._value(each, names) if _is_tensor(each) else each for each in sizes]
        told = [
            given if value is None else int(value)
            for given, value in zip(sizes, values, strict=True)
        ]
        return type(sizes)(told)

    def _value(self, tensor: Tensor, names: dict[int, str]) -> Tensor | None:
        """Return the value of a tensor that follows from weights, None for any other."""
        if id(tensor) in names and tensor not in self._computed:
            return self._real.get(names[id(tensor)])
        recipe = self._computed.get(tensor)
        if recipe is None:
            return None
        func, args, kwargs = recipe
        leaves, spec = pytree.tree_flatten((args, kwargs))
        values = [self._value(v, names) if _is_tensor(v) else v for v in leaves]
        if any(v is None and _is_tensor(given) for v, given in zip(values, leaves, strict=True)):
            return None
        real_args, real_kwargs = pytree.tree_unflatten(values, spec)
        with torch.utils._python_dispatch._disable_current_modes(), torch.no_grad():
            result: Tensor = func(*real_args, **real_kwargs)
        return result


def _weights(model: nn.Module) -> Any:
    return itertools.chain(model.named_parameters(), model.named_buffers())


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def _is_counted(value: Any) -> bool:
    """Tell whether a value is a row of sizes, of which some are tensors."""
    return type(value) in (list, tuple) and any(map(_is_tensor, value))


def _is_known(leaves: list[Any]) -> bool:
    return not any(isinstance(v, (torch.SymInt, torch.SymFloat, torch.SymBool)) for v in leaves)


@functools.cache
def _writes(func: Any) -> bool:
    """Tell whether a function writes to what it is given, by its name."""
    name = getattr(func, "__name__", "")
    in_place = name.endswith("_") and not name.endswith("__")
    return in_place or name.startswith("__i") or name == "__setitem__"
