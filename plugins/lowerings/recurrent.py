"""Recurrent layers as LSTM, GRU and RNN of ONNX, one for each layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from onnxscript import opset18 as op

from rewrite import Lowering
from rewrite.recurrent import LSTM, RECURRENT

_IOFC = (0, 3, 1, 2)
"""ONNX's gates of an LSTM among torch's i, f, g, o."""
_ZRH = (1, 0, 2)
"""ONNX's gates of a GRU among torch's r, z, n."""


def lstm(
    x: Any, hidden: Any, cell: Any, weights: Sequence[Any], layers: int, both: bool
) -> tuple[Any, Any, Any]:
    """Translate rewrite.lstm."""
    width = int(hidden.shape[2])
    direction = "bidirectional" if both else "forward"

    def layer(x: Any, state: slice, w: Any, r: Any, b: Any) -> tuple[Any, ...]:
        first = _rows(hidden, state), _rows(cell, state)
        result: tuple[Any, ...] = op.LSTM(
            x, w, r, b, None, *first, hidden_size=width, direction=direction
        )
        return result

    result, last, cells = _layers(x, weights, layers, both, width, _IOFC, layer)
    return result, last, cells


def recurrent(
    x: Any, hidden: Any, weights: Sequence[Any], kind: str, layers: int, both: bool
) -> tuple[Any, Any]:
    """Translate rewrite.recurrent."""
    width = int(hidden.shape[2])
    direction = "bidirectional" if both else "forward"

    def layer(x: Any, state: slice, w: Any, r: Any, b: Any) -> tuple[Any, ...]:
        inputs = x, w, r, b, None, _rows(hidden, state)
        options = {"hidden_size": width, "direction": direction}
        result: tuple[Any, ...]
        if kind == "gru":
            result = op.GRU(*inputs, **options, linear_before_reset=1)
        else:
            names = [kind.capitalize()] * (1 + both)
            result = op.RNN(*inputs, **options, activations=names)
        return result

    gates = _ZRH if kind == "gru" else (0,)
    result, last = _layers(x, weights, layers, both, width, gates, layer)
    return result, last


def _layers(
    x: Any,
    weights: Sequence[Any],
    layers: int,
    both: bool,
    width: int,
    gates: Sequence[int],
    layer: Callable[..., tuple[Any, ...]],
) -> list[Any]:
    """Translate layers on each other; return the outputs, and the last states of all layers."""
    ways = 1 + both
    each = len(weights) // (layers * ways)
    states: list[tuple[Any, ...]] = []
    for number in range(layers):
        own = [weights[(number * ways + way) * each :][:each] for way in range(ways)]
        w, r = (_joined([_reordered(of[k], width, gates) for of in own]) for k in (0, 1))
        b = None
        if each == 4:
            b = _joined(
                [
                    op.Concat(*(_reordered(of[k], width, gates) for k in (2, 3)), axis=0)
                    for of in own
                ]
            )
        found = layer(x, slice(number * ways, (number + 1) * ways), w, r, b)
        merged = op.Transpose(found[0], perm=[0, 2, 1, 3])
        x = op.Reshape(merged, op.Constant(value_ints=[0, 0, ways * width]))
        states.append(tuple(found[1:]))
    joined = (
        op.Concat(*parts, axis=0) if layers > 1 else parts[0] for parts in zip(*states, strict=True)
    )
    return [x, *joined]


def _reordered(weight: Any, width: int, gates: Sequence[int]) -> Any:
    """Put the gates, blocks of rows, in another order."""
    if len(gates) == 1:
        return weight
    blocks = [_rows(weight, slice(g * width, (g + 1) * width)) for g in gates]
    return op.Concat(*blocks, axis=0)


def _rows(value: Any, rows: slice) -> Any:
    low, high, axis = (op.Constant(value_ints=[v]) for v in (rows.start, rows.stop, 0))
    return op.Slice(value, low, high, axis)


def _joined(directions: list[Any]) -> Any:
    axis = op.Constant(value_ints=[0])
    return op.Concat(*(op.Unsqueeze(each, axis) for each in directions), axis=0)


LOWERINGS = (Lowering(LSTM, lstm), Lowering(RECURRENT, recurrent))
