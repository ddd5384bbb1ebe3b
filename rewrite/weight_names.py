"""Names of weights that no attribute of a graph module can have."""

from __future__ import annotations

import itertools
import keyword
from collections.abc import Container
from typing import Any

import torch
from torch import nn


def rename_weights(exported: torch.export.ExportedProgram) -> None:
    """Rename weights that no attribute of a graph module can hold, in place.

    A model may call a layer `meta`, `graph` or `code`, and the module of a graph calls so what is
    its own; a dictionary of layers may have a word of Python as a key, and the module writes its
    graph as Python.
    """
    specs = (*exported.graph_signature.input_specs, *exported.graph_signature.output_specs)
    weights = [name for tensors in _tensors(exported) for name in tensors]
    reserved = set(dir(exported.graph_module)) - set(dir(nn.Module()))
    paths = {path for name in weights for path in itertools.accumulate(name.split("."), _below)}
    names = {name: _held(name, reserved, paths) for name in weights}
    if all(name == held for name, held in names.items()):
        return
    for spec in specs:
        if spec.target is not None:
            spec.target = names.get(spec.target, spec.target)
    for tensors in _tensors(exported):
        renamed = {names[name]: value for name, value in tensors.items()}
        tensors.clear()
        tensors.update(renamed)


def _tensors(exported: torch.export.ExportedProgram) -> tuple[dict[str, Any], dict[str, Any]]:
    return exported.state_dict, exported.constants


def _held(name: str, reserved: Container[str], paths: Container[str]) -> str:
    """Return a path with underscores behind each part that no attribute can be called."""
    held, above = "", ""
    for part in name.split("."):
        free = part
        if keyword.iskeyword(part) or (not above and part in reserved):
            free += "_"
            while _below(above, free) in paths:
                free += "_"
        above, held = _below(above, part), _below(held, free)
    return held


def _below(path: str, part: str) -> str:
    return f"{path}.{part}" if path else part
