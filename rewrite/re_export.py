"""Exporting a rewritten program once more, as whoever deploys it from PyTorch would."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import fx
from torch.utils import _pytree as pytree

from rewrite.program import DynamicDim, Program


def re_export(program: Program, *, flat: bool = False) -> torch.export.ExportedProgram:
    """Return what torch.export makes of a program, dynamic dimensions kept.

    Args:
        program: any program.
        flat: take and return the flat lists of inputs and outputs instead of the model's pytrees.
    """
    args, kwargs = pytree.tree_map_only(torch.Tensor, _on_its_own, program.example)
    values = program.signature.flatten_inputs(args, kwargs)
    module: torch.nn.Module = program.module
    if flat:
        twin = program.clone()
        twin.graph.set_codegen(fx.graph.CodeGen())
        module = fx.GraphModule(twin.module, twin.graph)
        args, kwargs = tuple(values), {}
    else:
        program.compile()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        shapes: Any = _dynamic_dims(program, values)
        dynamic = shapes.dynamic_shapes(module, args, kwargs)
        return torch.export.export(module, args, kwargs, dynamic_shapes=dynamic, strict=False)


def _on_its_own(value: torch.Tensor) -> torch.Tensor:
    """Copy a view: torch.export guards the tensor behind it, and finds none when it decomposes."""
    return value if value._base is None else value.detach().clone()


def _dynamic_dims(program: Program, values: list[Any]) -> torch.export.ShapesCollection:
    """Mark the dimensions that must stay dynamic: torch.export raises where one is baked in."""
    dims: dict[int, dict[int, Any]] = {}
    roots: dict[DynamicDim, Any] = {}
    for name, value in zip(program.signature.input_names, values, strict=True):
        for index, dim in program.signature.dynamic.get(name, {}).items():
            if dim.root is not None:
                root = roots.setdefault(dim.root, _root(dim.root))
                dims.setdefault(id(value), {})[index] = dim.scale * root + dim.offset
                continue
            dims.setdefault(id(value), {})[index] = _dim(dim)
    shapes = torch.export.ShapesCollection()  # type: ignore[no-untyped-call]
    for value in values:
        if id(value) in dims:
            shapes[value] = dims[id(value)]
    return shapes


def _root(dim: DynamicDim) -> Any:
    return torch.export.Dim(dim.name, min=max(dim.low, 1), max=dim.high)


def _dim(dim: DynamicDim) -> Any:
    limits: dict[str, int] = {}
    if dim.low > 1:
        limits["min"] = dim.low
    if dim.high is not None:
        limits["max"] = dim.high
    return torch.export.Dim.DYNAMIC(**limits) if limits else torch.export.Dim.DYNAMIC
