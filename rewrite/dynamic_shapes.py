"""Dynamic shapes as a model file gives them, beside the inputs: which dimension has which name."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

Visit = Callable[[Tensor, int, Any, str], Any]
"""Takes a tensor, one of its axes, what the dynamic shapes say of it, and the tensor's name."""
_KEYWORDS = inspect.Parameter.VAR_KEYWORD


@dataclass
class Dimension:
    """A dynamic dimension and where it is."""

    dim: Any
    size: int
    axes: set[int] = field(default_factory=set)
    """Of the tensors; -1 stands for dimensions that follow from it."""


def dimensions(named: Mapping[str, Any], shapes: Any) -> dict[str, Dimension]:
    """Return the dynamic dimensions of some inputs by name; derived ones belong to their root."""
    found: dict[str, Dimension] = {}
    derived: dict[str, Dimension] = {}

    def collect(value: Tensor, axis: int, dim: Any, path: str) -> Any:
        name = key(dim, path, axis)
        if is_derived(dim):
            scale, offset = affine(dim)
            derived[name] = Dimension(dim.root, (int(value.shape[axis]) - offset) // scale)
        elif name:
            each = found.setdefault(name, Dimension(dim, int(value.shape[axis])))
            each.axes.add(axis)
        return dim

    walk(named, shapes, collect)
    for name, each in derived.items():
        found.setdefault(name, each).axes.add(-1)
    return found


def key(dim: Any, path: str, axis: int) -> str:
    """Return the name by which a dimension is fixed; '' for one that is no dynamic one."""
    if dim is None or isinstance(dim, int) or dim == torch.export.Dim.STATIC:
        return ""
    root = dim.root if is_derived(dim) else dim
    return str(getattr(root, "__name__", f"{path}.{axis}"))


def is_derived(dim: Any) -> bool:
    """Tell whether a dimension follows from another one, as 2·n does."""
    return hasattr(dim, "root")


def affine(dim: Any) -> tuple[int, int]:
    """Return (a, b) of a dimension that is a·n + b, n its root: torch.export takes no others."""
    offset = int(dim.fn(0))
    return int(dim.fn(1)) - offset, offset


def inputs_by_name(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], shapes: Any
) -> dict[str, Any]:
    """Return the inputs by the names that dynamic shapes have for them.

    Raises:
        TypeError: for inputs that forward does not take.
    """
    signature = inspect.signature(model.forward)
    named = dict(signature.bind(*args, **kwargs).arguments)
    for name, kind in _loose(signature, named, shapes).items():
        several = named.pop(name)
        if kind is inspect.Parameter.VAR_POSITIONAL:
            several = {f"{name}_{place}": each for place, each in enumerate(several)}
        named.update(several)
    return named


def as_torch_takes_them(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], shapes: Any
) -> Any:
    """Return dynamic shapes in which those of `*args` are one entry, and of `**kwargs` one each.

    A model file gives shapes beside its inputs, whichever way forward takes these.
    """
    signature = inspect.signature(model.forward)
    named = signature.bind(*args, **kwargs).arguments
    loose = _loose(signature, named, shapes)
    for name in named:
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL and name in loose:
            place = list(named).index(name)
            shapes = (*shapes[:place], tuple(shapes[place : place + len(named[name])]))
        elif kind is _KEYWORDS and name not in loose:
            shapes = {key: each for key, each in shapes.items() if key != name} | shapes[name]
    if isinstance(shapes, Mapping) and shapes:  # what is left out has fixed sizes
        fixed = pytree.tree_map(lambda _: None, inputs_by_name(model, args, kwargs, {}))
        shapes = {**fixed, **shapes}
    return shapes


@contextlib.contextmanager
def keywords_spelled_out(model: nn.Module, kwargs: Mapping[str, Any]) -> Iterator[None]:
    """Give forward a signature with the names that it takes as `**kwargs`, for a while.

    torch.export compares dynamic shapes with inputs that it has under both names, and finds none.
    """
    forward = model.forward
    parameters = inspect.signature(forward).parameters
    known = {name for name, each in parameters.items() if each.kind is not _KEYWORDS}
    loose = [name for name in kwargs if name not in known]
    if not loose:
        yield
        return

    @functools.wraps(forward)
    def spelled(*args: Any, **given: Any) -> Any:
        return forward(*args, **given)

    more = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in loose]
    plain = [each for each in parameters.values() if each.kind is not _KEYWORDS]
    vars(spelled)["__signature__"] = inspect.Signature([*plain, *more])
    own = vars(model).get("forward")
    vars(model)["forward"] = spelled
    try:
        yield
    finally:
        del vars(model)["forward"]
        if own is not None:
            vars(model)["forward"] = own


def _loose(signature: inspect.Signature, named: Mapping[str, Any], shapes: Any) -> dict[str, Any]:
    """Return the kinds of `*args` and `**kwargs`, by name, whose shapes are given one by one."""
    found = {}
    for name, parameter in signature.parameters.items():
        if name not in named:
            continue
        if parameter.kind is _KEYWORDS:
            one_by_one = not (isinstance(shapes, Mapping) and name in shapes)
        elif parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            place = list(named).index(name)
            in_order = isinstance(shapes, (tuple, list)) and len(shapes) > place
            one_by_one = in_order and not isinstance(shapes[place], (tuple, list))
        else:
            continue
        if one_by_one:
            found[name] = parameter.kind
    return found


def walk(value: Any, spec: Any, visit: Visit, path: str = "") -> Any:
    """Return dynamic shapes anew, each dimension replaced by what `visit` says of it."""
    if spec is None:
        return None
    if isinstance(value, Tensor):
        pairs = spec.items() if isinstance(spec, Mapping) else enumerate(spec)
        rank = value.dim()
        renewed = {a: visit(value, a, dim, path) if a < rank else dim for a, dim in pairs}
        return renewed if isinstance(spec, Mapping) else _as(spec, renewed.values())
    if not isinstance(value, (Mapping, list, tuple)):
        return spec
    parts = value if isinstance(value, Mapping) else dict(enumerate(value))
    if isinstance(spec, Mapping):
        prefix = f"{path}." if path else ""
        return {
            k: walk(parts[k], s, visit, f"{prefix}{k}") if k in parts else s
            for k, s in spec.items()
        }
    if not isinstance(spec, (list, tuple)):
        return spec
    prefix = f"{path}." if path else ""
    pairs_in_order = zip(parts.items(), spec, strict=False)
    return _as(spec, [walk(v, s, visit, f"{prefix}{k}") for (k, v), s in pairs_in_order])


def _as(given: tuple[Any, ...] | list[Any], values: Iterable[Any]) -> Any:
    """Return values in a sequence of the same type, which may have names for them."""
    return type(given)(*values) if hasattr(given, "_fields") else type(given)(values)
