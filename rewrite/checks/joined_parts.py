"""Which outputs are joined from parts: boxes and scores in one tensor, levels one after another."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from rewrite.checks.axes import expressions, rank
from rewrite.checks.carried_axes import carried
from rewrite.program import Program
from rewrite.schema import arguments

aten = torch.ops.aten

Box = dict[int, tuple[Any, Any]]
"""Where a part lies: (first, behind the last) by axis; sizes may be expressions of symbols."""

_MOST_PARTS = 64


def joined_parts(program: Program) -> dict[str, list[Box]]:
    """Return the parts of each output that is joined from several, by its name.

    Joins of joins count: a part of a concatenation may be one itself. What only moves the parts or
    computes on each element of them keeps them; whatever mixes them makes one tensor of them.
    """
    boxes: dict[fx.Node, list[Box]] = {}
    for node in program.graph.nodes:
        found = _join(node, boxes) or _carry(node, boxes)
        if 1 < len(found) <= _MOST_PARTS:
            boxes[node] = found
    outputs = zip(program.signature.output_names, program.outputs(), strict=True)
    return {name: boxes[node] for name, node in outputs if node in boxes}


def _join(node: fx.Node, boxes: dict[fx.Node, list[Box]]) -> list[Box]:
    if node.target not in (aten.cat.default, aten.stack.default):
        return []
    bound = arguments(node)
    axis = bound["dim"] % (rank(node) or 1)
    is_new = node.target is aten.stack.default
    found: list[Box] = []
    first: Any = 0
    for source in bound["tensors"]:
        behind = first + (1 if is_new else expressions(source)[axis])
        for inner in boxes.get(source, [{}]):
            moved = {a + (is_new and a >= axis): span for a, span in inner.items()}
            low, high = moved.get(axis, (0, behind - first))
            found.append({**moved, axis: (first + low, first + high)})
        first = behind
    return found


def _carry(node: fx.Node, boxes: dict[fx.Node, list[Box]]) -> list[Box]:
    best: list[Box] = []
    for source, axes in carried(node):
        found = boxes.get(source, [])
        if len(found) > len(best) and all(axis in axes for box in found for axis in box):
            best = [{axes[axis]: span for axis, span in box.items()} for box in found]
    return best
