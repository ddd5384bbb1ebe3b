"""Dynamic shapes that do not fit the inputs, in the words of a model file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sized
from typing import Any

import torch
from torch import Tensor, nn

from rewrite.dynamic_shapes import inputs_by_name
from rewrite.errors import CaptureError

_EACH = "give one entry for each input: {axis: Dim}, or None where all sizes are fixed"


def check_shapes(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], shapes: Any
) -> None:
    """Make sure that each entry belongs to an input, and each dimension to an axis of it.

    Args:
        model: names the inputs.
        args: positional example inputs.
        kwargs: keyword example inputs.
        shapes: as a model file gives them.

    Raises:
        CaptureError: for the first that does not.
    """
    if not shapes or isinstance(model, torch.jit.ScriptModule):  # that one names no inputs
        return
    for what, hint in _problems(inputs_by_name(model, args, kwargs, shapes), shapes):
        raise CaptureError(f"dynamic_shapes {what}", where=type(model).__name__, hint=hint)


def _problems(named: Mapping[str, Any], shapes: Any) -> Iterator[tuple[str, str]]:
    """Yield what is wrong, and what to do."""
    if isinstance(shapes, Mapping):
        for name in shapes:
            if name not in named:
                yield f"has '{name}', which is no input", f"the inputs are: {', '.join(named)}"
        for name, value in named.items():
            yield from _of_value(value, shapes.get(name), name)
        return
    if not isinstance(shapes, (tuple, list)):
        yield f"is {type(shapes).__name__}, not a dict or a tuple", _EACH
        return
    if len(shapes) != len(named):
        yield f"has {_entries(shapes)} for the inputs {', '.join(named)}", _EACH
    for (name, value), spec in zip(named.items(), shapes, strict=False):
        yield from _of_value(value, spec, name)


def _of_value(value: Any, spec: Any, path: str) -> Iterator[tuple[str, str]]:
    if spec is None:
        return
    if isinstance(value, Tensor):
        yield from _of_tensor(value, spec, path)
    elif isinstance(value, Mapping) and isinstance(spec, Mapping):
        for key, each in spec.items():
            if key not in value:
                yield f"has '{path}.{key}', which is no input", _EACH
            else:
                yield from _of_value(value[key], each, f"{path}.{key}")
    elif isinstance(value, (tuple, list)) and isinstance(spec, (tuple, list)):
        if len(value) != len(spec):
            yield f"has {_entries(spec)} for the {len(value)} of '{path}'", _EACH
        for place, (inner, each) in enumerate(zip(value, spec, strict=False)):
            yield from _of_value(inner, each, f"{path}.{place}")


def _of_tensor(value: Tensor, spec: Any, path: str) -> Iterator[tuple[str, str]]:
    rank = value.dim()
    if isinstance(spec, Mapping):
        dims = spec
    elif isinstance(spec, (tuple, list)) and len(spec) == rank:
        dims = dict(enumerate(spec))
    else:
        yield f"has {spec!r} for '{path}', which has {rank} dimensions", _EACH
        return
    for axis, dim in dims.items():
        if not isinstance(axis, int) or not 0 <= axis < rank:
            yield f"has axis {axis!r} for '{path}', whose axes are 0 to {rank - 1}", _EACH
        elif not _is_dimension(dim):
            hint = f"write torch.export.Dim({dim!r})" if isinstance(dim, str) else _EACH
            yield f"has {dim!r} for axis {axis} of '{path}', which is no Dim", hint


def _entries(spec: Sized) -> str:
    return "1 entry" if len(spec) == 1 else f"{len(spec)} entries"


def _is_dimension(dim: Any) -> bool:
    hints = type(torch.export.Dim.AUTO)
    return dim is None or isinstance(dim, (int, torch.export.Dim, hints))
