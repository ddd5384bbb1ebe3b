"""How a captured program is called: names, structure and dynamic sizes of inputs and outputs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import fx, nn
from torch.utils import _pytree as pytree

from rewrite.program import DynamicDim, Signature


def calling_convention(
    model: nn.Module,
    module: fx.GraphModule,
    exported: torch.export.ExportedProgram,
    sample: Any,
    dynamic_shapes: Any,
) -> Signature:
    """Describe how a captured module is called, in the names of the user's model.

    Args:
        model: the eager model.
        module: its graph.
        exported: what torch.export made of it.
        sample: what it returns.
        dynamic_shapes: as `torch.export.export` takes it.
    """
    placeholders = [n for n in module.graph.nodes if n.op == "placeholder"]
    in_spec = exported.call_spec.in_spec
    names = _input_names(model, in_spec, [n.name for n in placeholders])
    return Signature(
        in_spec=in_spec,
        out_spec=exported.call_spec.out_spec,
        input_names=names,
        output_names=_output_names(sample, names),
        dynamic=_dynamic_dims(placeholders, names, exported, dynamic_shapes),
    )


def _input_names(model: nn.Module, spec: Any, placeholders: list[str]) -> tuple[str, ...]:
    """Name inputs as the parameters of forward; nested ones as torch.export does (`x_0`)."""
    names = list(placeholders)
    parameters = list(inspect.signature(model.forward).parameters.values())
    many = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    args, kwargs = pytree.tree_unflatten(list(range(len(names))), spec)
    for parameter, index in zip(parameters, args, strict=False):
        if parameter.kind in many:
            break
        if isinstance(index, int):
            names[index] = parameter.name
    for key, index in kwargs.items():
        if isinstance(index, int):
            names[index] = key
    return tuple(names) if len(set(names)) == len(names) else tuple(placeholders)


def _output_names(sample: Any, taken: tuple[str, ...]) -> tuple[str, ...]:
    """Name outputs by their pytree paths; no file can name one like an input."""
    paths, _ = pytree.tree_flatten_with_path(sample)
    names = []
    for path, _ in paths:
        parts = [str(getattr(k, "key", getattr(k, "idx", getattr(k, "name", k)))) for k in path]
        name = ".".join(parts)
        clashes = name.isdigit() or name in taken
        names.append(f"output_{name}" if clashes else name or "output")
    return tuple(names)


def _dynamic_dims(
    placeholders: list[fx.Node],
    names: Sequence[str],
    exported: torch.export.ExportedProgram,
    dynamic_shapes: Any,
) -> dict[str, dict[int, DynamicDim]]:
    """Name each symbolic input size as the user does, else s0, s1 … in order of appearance."""
    given = _given_names(dynamic_shapes, list(names))
    ranges = {str(symbol): limits for symbol, limits in exported.range_constraints.items()}
    named: dict[str, DynamicDim] = {}
    dynamic: dict[str, dict[int, DynamicDim]] = {}
    for input_name, node in zip(names, placeholders, strict=True):
        val = node.meta.get("val")
        if not isinstance(val, torch.Tensor):
            continue
        sizes: tuple[Any, ...] = tuple(val.shape)
        for index, size in enumerate(sizes):
            text = str(size)
            if isinstance(size, int) or not text.isidentifier():
                continue
            if text not in named:
                limits = ranges.get(text)
                name = given.get((input_name, index), f"s{len(named)}")
                named[text] = DynamicDim(name, *_limits(limits))
            dynamic.setdefault(input_name, {})[index] = named[text]
    return dynamic


def _given_names(dynamic_shapes: Any, inputs: list[str]) -> dict[tuple[str, int], str]:
    """Return the names of `torch.export.Dim`s by (input, dimension), for flat arguments."""
    if isinstance(dynamic_shapes, Mapping):
        specs = [(name, dynamic_shapes.get(name)) for name in inputs]
    elif isinstance(dynamic_shapes, (tuple, list)) and len(dynamic_shapes) == len(inputs):
        specs = list(zip(inputs, dynamic_shapes, strict=True))
    else:
        return {}
    names: dict[tuple[str, int], str] = {}
    for input_name, spec in specs:
        pairs = spec.items() if isinstance(spec, Mapping) else enumerate(spec or ())
        for index, dim in pairs:
            name = getattr(dim, "__name__", "")
            if isinstance(name, str) and name.isidentifier():
                names[input_name, index] = name
    return names


def _limits(limits: Any) -> tuple[int, int | None]:
    if limits is None:
        return 0, None
    # Infinity is of several types here, and int() of some raises AttributeError: compare first.
    high = int(limits.upper) if bool(limits.upper < 2**31) else None
    return int(limits.lower), high
