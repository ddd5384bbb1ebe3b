"""Recurrent layers over any number of steps, kept whole: no graph unrolls what it cannot count.

Both operators compute what torch's do, `[steps, batch, features]` throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_GATED = {"gru": torch.gru, "tanh": torch.rnn_tanh, "relu": torch.rnn_relu}


@torch.library.custom_op("rewrite::lstm", mutates_args=())
def lstm(
    x: Tensor, hidden: Tensor, cell: Tensor, weights: Sequence[Tensor], layers: int, both: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the outputs of the last layer, and the last hidden and cell states of all.

    Args:
        x: [steps, batch, features].
        hidden: first state, [layers · directions, batch, width].
        cell: the same for the cells.
        weights: of each layer and direction: of inputs, of states, and two biases or none.
        layers: how many lie on each other.
        both: whether each goes in both directions.
    """
    biased = len(weights) == 4 * layers * (1 + both)
    found = torch.lstm(x, (hidden, cell), list(weights), biased, layers, 0.0, False, both, False)
    return found[0].clone(), found[1].clone(), found[2].clone()


@lstm.register_fake
def _(
    x: Tensor, hidden: Tensor, cell: Tensor, weights: Sequence[Tensor], layers: int, both: bool
) -> tuple[Tensor, Tensor, Tensor]:
    return _outputs(x, hidden, both), torch.empty_like(hidden), torch.empty_like(cell)


@torch.library.custom_op("rewrite::recurrent", mutates_args=())
def recurrent(
    x: Tensor, hidden: Tensor, weights: Sequence[Tensor], kind: str, layers: int, both: bool
) -> tuple[Tensor, Tensor]:
    """Return the outputs of the last layer, and the last states of all.

    Args:
        x: [steps, batch, features].
        hidden: first state, [layers · directions, batch, width].
        weights: as `lstm` takes them.
        kind: `gru`, or the activation of a plain layer: `tanh`, `relu`.
        layers: how many lie on each other.
        both: whether each goes in both directions.
    """
    biased = len(weights) == 4 * layers * (1 + both)
    run: Any = _GATED[kind]
    found = run(x, hidden, list(weights), biased, layers, 0.0, False, both, False)
    return found[0].clone(), found[1].clone()


@recurrent.register_fake
def _(
    x: Tensor, hidden: Tensor, weights: Sequence[Tensor], kind: str, layers: int, both: bool
) -> tuple[Tensor, Tensor]:
    return _outputs(x, hidden, both), torch.empty_like(hidden)


def _outputs(x: Tensor, hidden: Tensor, both: bool) -> Tensor:
    return x.new_empty((x.shape[0], x.shape[1], (1 + both) * hidden.shape[2]))


LSTM = torch.ops.rewrite.lstm.default
RECURRENT = torch.ops.rewrite.recurrent.default


def whole_lstm(
    x: Tensor,
    states: Any,
    weights: list[Tensor],
    has_biases: bool,
    layers: int,
    dropout: float,
    train: bool,
    both: bool,
    batch_first: bool = False,
) -> Any:
    """Call `lstm` as torch.lstm is called."""
    if isinstance(states, Tensor):
        return NotImplemented  # a packed sequence
    hidden, cell = states
    if hidden.shape[2] != cell.shape[2] or (train and dropout):
        return NotImplemented
    steps = x.transpose(0, 1) if batch_first else x
    result, *last = LSTM(steps, hidden, cell, weights, layers, both)
    return result.transpose(0, 1) if batch_first else result, *last


def whole_recurrent(kind: str) -> Any:
    """Return a function that calls `recurrent` as torch.gru or torch.rnn_tanh is called."""

    def call(
        x: Tensor,
        hidden: Tensor,
        weights: Any,
        has_biases: bool,
        layers: int,
        dropout: float,
        train: bool,
        both: bool,
        batch_first: bool = False,
    ) -> Any:
        if isinstance(weights, Tensor) or (train and dropout):
            return NotImplemented  # a packed sequence
        steps = x.transpose(0, 1) if batch_first else x
        result, last = RECURRENT(steps, hidden, weights, kind, layers, both)
        return result.transpose(0, 1) if batch_first else result, last

    return call
