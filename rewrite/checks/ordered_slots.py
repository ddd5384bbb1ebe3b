"""Which outputs come in the order that a sort gave them: detections, beams, nearest neighbours."""

from __future__ import annotations

import operator

import torch
from torch import fx

from rewrite.checks.axes import rank
from rewrite.checks.carried_axes import carried
from rewrite.checks.carried_rows import rows
from rewrite.program import Program
from rewrite.schema import arguments

aten = torch.ops.aten

Slots = dict[str, int]
"""The axis along which slots lie, by the name of an output."""

_SORTS = (aten.topk.default, aten.sort.stable, aten.sort.default)


def ordered_slots(program: Program) -> list[Slots]:
    """Return the outputs whose slots are ordered by a sort or a TopK, those of one order together.

    Where two scores are nearly equal their slots change places, and everything that was gathered
    by them does too: slot by slot such outputs cannot be compared.
    """
    orders: dict[fx.Node, dict[int, str]] = {}
    for node in program.graph.nodes:
        found = _sorted(node, orders) or _joined(node, orders) or _carried(node, orders)
        if found:
            orders[node] = found
    groups: dict[str, Slots] = {}
    for name, node in zip(program.signature.output_names, program.outputs(), strict=True):
        found = orders.get(node, {})
        if len(found) == 1:
            ((axis, order),) = found.items()
            groups.setdefault(order, {})[name] = axis
    return list(groups.values())


def _sorted(node: fx.Node, orders: dict[fx.Node, dict[int, str]]) -> dict[int, str]:
    if node.target is not operator.getitem:
        return {}
    call = node.all_input_nodes[0]
    if call.target not in _SORTS or not rank(node):
        return {}
    bound = arguments(call)
    dim = bound["dim"] % (rank(node) or 1)
    before = orders.get(bound["self"], {})
    return {**{a: order for a, order in before.items() if a != dim}, dim: call.name}


def _joined(node: fx.Node, orders: dict[fx.Node, dict[int, str]]) -> dict[int, str]:
    """Take slots of several orders one behind another for slots of one."""
    if node.target is not aten.cat.default:
        return {}
    bound = arguments(node)
    dim = bound["dim"] % (rank(node) or 1)
    if not all(dim in orders.get(source, {}) for source in bound["tensors"]):
        return {}
    keys = "+".join(orders[source][dim] for source in bound["tensors"])
    return {dim: keys}


def _carried(node: fx.Node, orders: dict[fx.Node, dict[int, str]]) -> dict[int, str]:
    found: dict[int, str] = {}
    for source, axes in (*carried(node), *rows(node)):
        for axis, order in orders.get(source, {}).items():
            if axis in axes:
                found.setdefault(axes[axis], order)
    return found
