"""Exporting a rewritten program once more, as whoever deploys it from PyTorch would."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch

from rewrite.program import Program


def re_export(program: Program) -> Callable[..., Any]:
    """Return what torch.export makes of a program, dynamic dimensions kept."""
    args, kwargs = program.example
    program.compile()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        shapes: Any = _dynamic_dims(program)
        dynamic = shapes.dynamic_shapes(program.module, args, kwargs)
        exported = torch.export.export(
            program.module, args, kwargs, dynamic_shapes=dynamic, strict=False
        )
        module: Callable[..., Any] = exported.module(check_guards=False)
    return module


def _dynamic_dims(program: Program) -> torch.export.ShapesCollection:
    """Mark the dimensions that must stay dynamic: torch.export raises where one is baked in."""
    signature = program.signature
    flat = signature.flatten_inputs(*program.example)
    dims: dict[int, dict[int, Any]] = {}
    for name, value in zip(signature.input_names, flat, strict=True):
        for index in signature.dynamic.get(name, {}):
            dims.setdefault(id(value), {})[index] = torch.export.Dim.DYNAMIC
    shapes = torch.export.ShapesCollection()  # type: ignore[no-untyped-call]
    for value in flat:
        if id(value) in dims:
            shapes[value] = dims[id(value)]
    return shapes
