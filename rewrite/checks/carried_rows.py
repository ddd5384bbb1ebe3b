"""Axes whose slots a layer computes side by side: rows of a norm, queries of an attention."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import fx

from rewrite.checks.axes import Carried, CarryRule, ranked
from rewrite.schema import arguments

aten = torch.ops.aten


def rows(node: fx.Node) -> list[Carried]:
    """Return the axes along which a layer computes slot by slot, for what it reads.

    Attention computes each query by itself, whatever its keys are.
    """
    rule = _RULES.get(node.target) if node.op == "call_function" else None
    return list(rule(node)) if rule is not None else []


def _norm(node: fx.Node) -> Iterator[Carried]:
    """Normalize over the last axes."""
    bound = arguments(node)
    source = bound["input"]
    yield source, _same(ranked(source) - len(bound["normalized_shape"]))


def _batch(node: fx.Node) -> Iterator[Carried]:
    """Compute each sample by itself."""
    bound = arguments(node)
    source = bound["input"] if "input" in bound else bound["self"]
    yield source, _same(1)


def _attention(node: fx.Node) -> Iterator[Carried]:
    bound = arguments(node)
    yield bound["query"], _same(ranked(bound["query"]) - 1)


def _addmm(node: fx.Node) -> Iterator[Carried]:
    yield arguments(node)["mat1"], {0: 0}


def _sampled(node: fx.Node) -> Iterator[Carried]:
    """Read an image at places: those of the grid are the places of the result."""
    bound = arguments(node)
    yield bound["input"], _same(2)
    places = ranked(bound["grid"]) - 2
    yield bound["grid"], {0: 0, **{a + 1: a + 2 for a in range(places)}}


def _same(count: int) -> dict[int, int]:
    return {axis: axis for axis in range(count)}


_RULES: dict[Any, CarryRule] = {
    aten.layer_norm.default: _norm,
    aten.rms_norm.default: _norm,
    **dict.fromkeys(
        (
            aten.batch_norm.default,
            aten.group_norm.default,
            aten.conv1d.default,
            aten.conv2d.default,
            aten.conv3d.default,
        ),
        _batch,
    ),
    aten.scaled_dot_product_attention.default: _attention,
    aten.addmm.default: _addmm,
    aten.grid_sampler.default: _sampled,
}
