"""Channels of unlike scale in one output: a depth in metres beside a confidence below 1."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from rewrite.checks.axes import rank
from rewrite.checks.carried_axes import carried
from rewrite.program import Program
from rewrite.quantization.kinds import is_weight, kind
from rewrite.quantization.markers import DEQUANTIZE, OBSERVE, QUANTIZE

aten = torch.ops.aten

_APART = 30.0
"""Channels whose root mean square is so many times that of the next ones are of another scale."""
_NOTHING = 1e-4
"""What is smaller than this share of the largest is taken for nothing at all."""
_CHANNEL_AXIS = {"conv": 1, "conv-transpose": 1, "linear": -1}
_KEEP = (QUANTIZE, DEQUANTIZE, OBSERVE)


def channel_axes(program: Program) -> dict[str, int]:
    """Return the axis of the channels that a layer gives, for outputs that are no more than that.

    Layouts, sums and products keep them what they are. A sigmoid or softmax makes shares of them,
    of which small ones are small on purpose: such outputs are not listed.
    """
    axes: dict[fx.Node, int] = {}
    for node in program.graph.nodes:
        count = rank(node)
        if kind(node) in _CHANNEL_AXIS and count and _has_weight(node):
            axes[node] = _CHANNEL_AXIS[kind(node)] % count
        elif kind(node) in ("add", "sub", "mul", "div", "layout") or node.target in _KEEP:
            found = [to[axes[source]] for source, to in _sources(node, axes)]
            if found:
                axes[node] = found[0]
    outputs = zip(program.signature.output_names, program.outputs(), strict=True)
    return {name: axes[node] for name, node in outputs if node in axes}


def _sources(node: fx.Node, axes: dict[fx.Node, int]) -> list[tuple[fx.Node, dict[int, int]]]:
    return [(s, to) for s, to in carried(node) if s in axes and axes[s] in to]


def _has_weight(node: fx.Node) -> bool:
    return any(is_weight(source) or source.target in _KEEP for source in node.all_input_nodes)


def unlike_channels(value: Tensor, axis: int) -> list[list[int]]:
    """Return the channels of each scale, where there are several; those of one scale otherwise.

    Args:
        value: of floats.
        axis: of the channels.
    """
    count = value.shape[axis]
    whole = [list(range(count))]
    rows = value.double().movedim(axis, 0).reshape(count, -1)
    if count < 2 or rows.shape[1] == 0:
        return whole
    sizes: Any = rows.nan_to_num(posinf=0.0, neginf=0.0).square().mean(1).sqrt()
    order = torch.argsort(sizes, stable=True).tolist()
    largest = float(sizes.max())
    groups: list[list[int]] = [[]]
    for place, channel in enumerate(order):
        size = float(sizes[channel])
        before = float(sizes[order[place - 1]]) if place else size
        if before > _NOTHING * largest and size > _APART * before:
            groups.append([])
        groups[-1].append(channel)
    return [sorted(group) for group in groups]
