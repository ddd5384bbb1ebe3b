"""Regions of gradients and of autocast in an exported graph, put where they stand."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

_GRADIENTS = torch.ops.higher_order.wrap_with_set_grad_enabled
_AUTOCAST = torch.ops.higher_order.wrap_with_autocast


def inline_regions(exported: torch.export.ExportedProgram) -> None:
    """Put the calls of regions that change no value where the regions stand, with their lines.

    These are regions with gradients or without, and those in which autocast is off. torch.export
    keeps them as graphs of their own, and what it traces through them has lost its place.
    """
    module = exported.graph_module
    renamed = exported.graph_signature.get_replace_hook()
    found = True
    while found:
        nodes = [n for n in module.graph.nodes if n.op == "call_function"]
        regions = [(n, region) for n in nodes if (region := _region(n)) is not None]
        with module._set_replace_hook(renamed):
            for node, (body, operands) in regions:
                _inline(module, node, body, operands)
        found = bool(regions)


def _region(node: fx.Node) -> tuple[fx.Node, list[Any]] | None:
    """Return the body of a region that changes no value, and what it is given."""
    if node.target is _GRADIENTS:
        _, body, *operands = node.args
    elif node.target is _AUTOCAST:
        _, _, enabled, _, body, *operands = node.args
        if enabled:
            return None
    else:
        return None
    return (body, operands) if isinstance(body, fx.Node) else None


def _inline(module: fx.GraphModule, node: fx.Node, body: fx.Node, operands: list[Any]) -> None:
    inner: fx.GraphModule = operator.attrgetter(str(body.target))(module)
    placed: dict[fx.Node, Any] = {}
    given = iter(operands)
    with module.graph.inserting_before(node):
        for each in inner.graph.nodes:
            if each.op == "placeholder":
                placed[each] = next(given)
            elif each.op == "get_attr":
                placed[each] = _carry_over(module, inner, each)
        made: Any = module.graph.graph_copy(inner.graph, placed)
    for user in list(node.users):
        _, index = user.args
        user.replace_all_uses_with(made[index])
        module.graph.erase_node(user)
    module.graph.erase_node(node)
    if not body.users:
        module.graph.erase_node(body)


def _carry_over(module: fx.GraphModule, inner: fx.GraphModule, node: fx.Node) -> fx.Node:
    """Give what a body reads of its own to the module that it is put into."""
    name = f"region_{node.name}"
    while hasattr(module, name):
        name += "_"
    setattr(module, name, operator.attrgetter(str(node.target))(inner))
    made = module.graph.get_attr(name)
    made.meta = dict(node.meta)
    return made
