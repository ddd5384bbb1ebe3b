"""LSTMs whose states are projected, which ONNX has no layer for, step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten


def projected_lstm(
    input: Tensor,
    hx: Sequence[Tensor],
    params: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> Any:
    """Sak et al. (2014), eq. 7: h = W·(o ⊙ tanh(c)), for each step of each layer and direction.

    Of states that are not projected, the layer of ONNX is the translation.
    """
    hidden, cell = hx
    if hidden.shape[2] == cell.shape[2] or (train and dropout):
        return NotImplemented
    x = input.transpose(0, 1) if batch_first else input
    ways = 1 + bidirectional
    each = len(params) // (num_layers * ways)
    last: list[tuple[Tensor, Tensor]] = []
    for layer in range(num_layers):
        outputs = []
        for way in range(ways):
            place = layer * ways + way
            weights = params[place * each :][:each]
            found, state = _one_way(x, hidden[place], cell[place], weights, has_biases, way == 1)
            outputs.append(found)
            last.append(state)
        x = torch.cat(outputs, -1)
    states = (torch.stack(parts) for parts in zip(*last, strict=True))
    return x.transpose(0, 1) if batch_first else x, *states


def _one_way(
    x: Tensor, h: Tensor, c: Tensor, weights: Sequence[Tensor], biased: bool, backwards: bool
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return the outputs [steps, batch, projected] of one direction, and its last state."""
    of_inputs, of_states, project = weights[0], weights[1], weights[-1]
    bias = weights[2] + weights[3] if biased else None
    given = torch.nn.functional.linear(x, of_inputs, bias)
    outputs: list[Tensor] = []
    for step in reversed(range(x.shape[0])) if backwards else range(x.shape[0]):
        gates = given[step] + torch.nn.functional.linear(h, of_states)
        i, f, g, o = gates.chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = torch.nn.functional.linear(o.sigmoid() * c.tanh(), project)
        outputs.append(h)
    return torch.stack(outputs[::-1] if backwards else outputs), (h, c)


PROJECTIONS: dict[Any, Callable[..., Any]] = {aten.lstm.input: projected_lstm}
