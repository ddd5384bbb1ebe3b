"""What models take: maps, sequences, signals, volumes, tables, ids; fixed or of dynamic sizes."""

from __future__ import annotations

import random

from .spec import Dim, Input

BATCH = ("b", 1, 64, [2, 3, 1, 5])
TOKENS = ("t", 2, 60, [6, 9, 3, 11])
HEIGHT = ("h", 6, 64, [8, 12, 9, 6])
WIDTH = ("w", 6, 64, [8, 7, 10, 13])
LENGTH = ("l", 6, 64, [10, 15, 7, 12])

Made = tuple[list[Input], list[Dim]]


def theme(rng: random.Random) -> Made:
    """Return inputs and dynamic sizes of a new model."""
    kinds = (
        _image,
        _image,
        _tokens,
        _tokens,
        _ids,
        _signal,
        _volume,
        _table,
        _two_maps,
        _two,
        _flat,
    )
    return rng.choice(kinds)(rng)


class _Sizes:
    """Decides which sizes are dynamic."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.dims = rng, []

    def take(self, dim: tuple, share: float) -> int | str:
        name, low, high, sizes = dim
        if self.rng.random() >= share:
            return sizes[0]
        self.dims.append(Dim(name, low, high, list(sizes)))
        return name


def _image(rng: random.Random) -> Made:
    sizes = _Sizes(rng)
    shape = [sizes.take(BATCH, 0.7), rng.choice((1, 3, 4, 8))]
    shape += [sizes.take(HEIGHT, 0.4), sizes.take(WIDTH, 0.4)]
    return [Input("x", "float", shape)], sizes.dims


def _tokens(rng: random.Random) -> Made:
    sizes = _Sizes(rng)
    batch, tokens = sizes.take(BATCH, 0.7), sizes.take(TOKENS, 0.5)
    inputs = [Input("x", "float", [batch, tokens, rng.choice((4, 8, 12))])]
    if rng.random() < 0.5:
        inputs.append(Input("mask", "bool", [batch, tokens]))
    return inputs, sizes.dims


def _ids(rng: random.Random) -> Made:
    sizes = _Sizes(rng)
    batch, tokens = sizes.take(BATCH, 0.7), sizes.take(TOKENS, 0.5)
    inputs = [Input("ids", "int", [batch, tokens], rng.choice((5, 11)))]
    if rng.random() < 0.4:
        inputs.append(Input("mask", "bool", [batch, tokens]))
    if rng.random() < 0.3:
        inputs.append(Input("x", "float", [batch, 6]))
    return inputs, sizes.dims


def _signal(rng: random.Random) -> Made:
    sizes = _Sizes(rng)
    shape = [sizes.take(BATCH, 0.7), rng.choice((1, 4, 6)), sizes.take(LENGTH, 0.4)]
    return [Input("x", "float", shape)], sizes.dims


def _volume(rng: random.Random) -> Made:
    sizes = _Sizes(rng)
    shape = [sizes.take(BATCH, 0.5), rng.choice((1, 2, 4)), 4, sizes.take(HEIGHT, 0.3), 6]
    return [Input("x", "float", shape)], sizes.dims


def _table(rng: random.Random) -> Made:
    sizes = _Sizes(rng)
    return [Input("x", "float", [sizes.take(BATCH, 0.8), rng.choice((1, 5, 8))])], sizes.dims


def _two_maps(rng: random.Random) -> Made:
    sizes = _Sizes(rng)
    batch = sizes.take(BATCH, 0.6)
    sides = [sizes.take(HEIGHT, 0.3), 8]
    return [
        Input("x", "float", [batch, 4, *sides]),
        Input("y", "float", [batch, rng.choice((1, 4)), *sides]),
    ], sizes.dims


def _two(rng: random.Random) -> Made:
    sizes = _Sizes(rng)
    batch, tokens = sizes.take(BATCH, 0.6), sizes.take(TOKENS, 0.4)
    return [
        Input("x", "float", [batch, tokens, 8]),
        Input("ids", "int", [batch, tokens], 7),
        Input("y", "float", [batch, rng.choice((4, 8))]),
    ], sizes.dims


def _flat(rng: random.Random) -> Made:
    """No batch at all, or nothing dynamic."""
    shape = rng.choice(([6], [3, 8, 8], [5, 4], [1, 4, 6, 6], [2, 3, 4]))
    return [Input("x", "float", list(shape))], []
