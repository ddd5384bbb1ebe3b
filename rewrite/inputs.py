"""What a model is called with: taken apart, and handed over as copies."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import nn
from torch.utils import _pytree as pytree

from rewrite.opened_dataclasses import open_dataclasses
from rewrite.plain_layers import plain_layers, without_autocast

Value = TypeVar("Value")


def split_inputs(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return (args, kwargs) for what a model file's `inputs()` gives."""
    open_dataclasses(inputs)
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    if isinstance(inputs, (tuple, list)):
        return tuple(inputs), {}
    return (inputs,), {}


def copied(inputs: Value) -> Value:
    """Return inputs whose tensors and containers nobody else has, so that they may be written.

    A tensor that is given twice becomes two, as a file has it.
    """
    copies: Value = pytree.tree_map_only(torch.Tensor, lambda t: t.detach().clone(), inputs)
    return copies


def on_copies(run: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that runs on copies: what `run` writes to its inputs, nobody sees."""

    def call(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = copied((args, kwargs))
        return run(*args, **kwargs)

    return call


def run_eager(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what an eager model makes of copies of some inputs, each layer as it is written."""
    return run_and_watch(model, args, kwargs)[0]


def run_and_watch(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, list[str]]:
    """Run an eager model as `run_eager` does; also name the inputs that it changes unseen.

    A write in place is seen by autograd's count of versions. One that goes past it, to `x.data`, or
    that changes the shape of a tensor, is in no graph.
    """
    own_args, own_kwargs = copied((args, kwargs))
    given = pytree.tree_leaves((args, kwargs))
    own = [(value, _mark(value)) for value in pytree.tree_leaves((own_args, own_kwargs))]
    with torch.no_grad(), plain_layers(), without_autocast():
        result = model(*own_args, **own_kwargs)
    open_dataclasses(result)
    changed = [_is_changed_unseen(g, *each) for g, each in zip(given, own, strict=True)]
    names = _leaf_names(model, args, kwargs) if any(changed) else ()
    return result, list(itertools.compress(names, changed))


def _leaf_names(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[str]:
    """Return how a model's forward names the leaves of its inputs: `x`, `pair[0]`."""
    named = inspect.signature(model.forward).bind(*args, **kwargs).arguments
    paths = {id(leaf): path for path, leaf in pytree.tree_flatten_with_path(dict(named))[0]}
    leaves = [paths[id(leaf)] for leaf in pytree.tree_leaves((args, kwargs))]
    return [f"{getattr(path[0], 'key', '')}{pytree.keystr(path[1:])}" for path in leaves]


def _mark(value: Any) -> tuple[Any, ...]:
    """Return what stands for a tensor, but not for its values."""
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided:
        return ()
    return value.data_ptr(), value.shape, value.stride(), value.storage_offset()


def _is_changed_unseen(given: Any, own: Any, mark: tuple[Any, ...]) -> bool:
    if not isinstance(own, torch.Tensor):
        return False
    return _mark(own) != mark or (own._version == 0 and not _equal(given, own))


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Tell whether two tensors hold the same, NaN included."""
    return bool(((one == other) | ((one != one) & (other != other))).all())
