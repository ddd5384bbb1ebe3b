"""How a captured program is called: names, structure and dynamic sizes of inputs and outputs."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import fx, nn
from torch.utils import _pytree as pytree

from rewrite.dynamic_shapes import affine, inputs_by_name, is_derived, walk
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
    given = _given_dims(model, exported, names, dynamic_shapes)
    return Signature(
        in_spec=in_spec,
        out_spec=exported.call_spec.out_spec,
        input_names=names,
        output_names=_output_names(sample, names),
        dynamic=_dynamic_dims(placeholders, names, exported, given),
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
    """Name outputs by their pytree paths; no file can name one like an input, or two alike."""
    paths, _ = pytree.tree_flatten_with_path(sample)
    names: list[str] = []
    for path, _ in paths:
        parts = [str(getattr(k, "key", getattr(k, "idx", getattr(k, "name", k)))) for k in path]
        name = ".".join(parts)
        clashes = name.isdigit() or name in taken
        wanted = f"output_{name}" if clashes else name or "output"
        names.append(_free(wanted, {*taken, *names}))
    return tuple(names)


def _free(name: str, taken: set[str]) -> str:
    """Return a name, or the first NAME_N that is free."""
    numbered = (f"{name}_{number}" for number in itertools.count(1))
    return name if name not in taken else next(n for n in numbered if n not in taken)


def _dynamic_dims(
    placeholders: list[fx.Node],
    names: Sequence[str],
    exported: torch.export.ExportedProgram,
    given: Mapping[tuple[str, int], Any],
) -> dict[str, dict[int, DynamicDim]]:
    """Name each symbolic input size as the user does, else s0, s1 … in order of appearance."""
    ranges = {str(symbol): limits for symbol, limits in exported.range_constraints.items()}
    named: dict[str, DynamicDim] = {}
    dynamic: dict[str, dict[int, DynamicDim]] = {}
    for input_name, node in zip(names, placeholders, strict=True):
        val = node.meta.get("val")
        if not isinstance(val, torch.Tensor):
            continue
        sizes: tuple[Any, ...] = tuple(val.shape)
        for index, size in enumerate(sizes):
            text, dim = str(size), given.get((input_name, index))
            if isinstance(size, int) or size.node.expr.is_number:
                continue
            if text not in named:
                limits = _limits(ranges.get(text))
                if is_derived(dim):
                    named[text] = _derived(dim, *limits)
                elif text.isidentifier():
                    named[text] = DynamicDim(_name(dim) or f"s{len(named)}", *limits)
                else:
                    continue
            dynamic.setdefault(input_name, {})[index] = named[text]
    return dynamic


def _derived(dim: Any, low: int, high: int | None) -> DynamicDim:
    """Describe a size that follows from another, such as 8·h."""
    scale, offset = affine(dim)
    most = int(dim.root.max) if bool(dim.root.max < 2**31) else None
    root = DynamicDim(_name(dim.root), int(dim.root.min), most)
    return DynamicDim(dim.__name__.replace(" ", ""), low, high, root, scale, offset)


def _name(dim: Any) -> str:
    name = getattr(dim, "__name__", "")
    return name if isinstance(name, str) and name.isidentifier() else ""


def _given_dims(
    model: nn.Module,
    exported: torch.export.ExportedProgram,
    names: Sequence[str],
    dynamic_shapes: Any,
) -> dict[tuple[str, int], Any]:
    """Return what the user says of dimensions by (input, dimension), of nested inputs too."""
    in_spec = exported.call_spec.in_spec
    flat = in_spec.flatten_up_to(exported.example_inputs)
    # Each a tensor of its own: one that is passed twice may have other shapes each time.
    tensors = [each.detach() if isinstance(each, torch.Tensor) else each for each in flat]
    name_of = {id(each): name for each, name in zip(tensors, names, strict=True)}
    dims: dict[tuple[str, int], Any] = {}

    def note(tensor: torch.Tensor, axis: int, dim: Any, _: str) -> Any:
        dims[name_of[id(tensor)], axis] = dim
        return dim

    args, kwargs = pytree.tree_unflatten(tensors, in_spec)
    walk(inputs_by_name(model, args, kwargs, dynamic_shapes), dynamic_shapes, note)
    return dims


def _limits(limits: Any) -> tuple[int, int | None]:
    if limits is None:
        return 0, None
    # Infinity is of several types here, and int() of some raises AttributeError: compare first.
    high = int(limits.upper) if bool(limits.upper < 2**31) else None
    return int(limits.lower), high
