"""Inputs that forward takes as *args or **kwargs, with dynamic shapes beside them."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from rewrite import Model, capture
from rewrite.fixed_sizes import fix_sizes

Dim = torch.export.Dim
BATCH, TOKENS = Dim("batch", max=32), Dim("tokens", max=64)
BOTH = {0: BATCH, 1: TOKENS}


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x, scale, doubled=False):
        return self.layer(x) * scale * (2 if doubled else 1)


class Pair(NamedTuple):
    image: Any
    scale: Any


class Nested(nn.Module):
    """An image of sides in steps of 4, and a factor, inside of what is one argument."""

    def forward(self, given):
        pair = given["pairs"][0]
        return nn.functional.max_pool1d(pair.image, 4) * pair.scale


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Inner()


class ByPlace(Wrapped):
    def forward(self, *args):
        return self.inner(*args)


class FirstAndRest(Wrapped):
    def forward(self, x, *rest):
        return self.inner(x, *rest)


class ByName(Wrapped):
    def forward(self, **kwargs):
        return self.inner(**kwargs)


class FirstByName(Wrapped):
    def forward(self, x, **kwargs):
        return self.inner(x, **kwargs)


def pair(batch, tokens):
    return torch.randn(batch, tokens, 4), torch.randn(batch, tokens, 1)


def named(batch, tokens):
    x, scale = pair(batch, tokens)
    return {"x": x, "scale": scale, "doubled": True}


CASES = [
    (ByPlace, pair, (BOTH, BOTH)),
    (ByPlace, pair, [BOTH, BOTH]),
    (ByPlace, pair, ((BOTH, BOTH),)),
    (FirstAndRest, pair, (BOTH, BOTH)),
    (FirstAndRest, pair, (BOTH, (BOTH,))),
    (ByName, named, {"x": BOTH, "scale": BOTH, "doubled": None}),
    (FirstByName, named, {"x": BOTH, "scale": BOTH, "doubled": None}),
    (FirstByName, named, {"x": BOTH, "kwargs": {"scale": BOTH, "doubled": None}}),
]


@pytest.mark.parametrize(("kind", "inputs", "shapes"), CASES)
def test_dynamic_shapes_stand_beside_the_inputs(kind, inputs, shapes):
    model = kind().eval()
    program = capture(model, inputs(2, 5), shapes)
    assert "forward" not in vars(model)
    assert sorted(dim.name for dim, _, _ in program.sizes().values()) == ["batch", "tokens"]
    other = inputs(3, 7)
    args, kwargs = ((), other) if isinstance(other, dict) else (other, {})
    torch.testing.assert_close(program(*args, **kwargs), model(*args, **kwargs))


@pytest.mark.parametrize(("kind", "inputs", "shapes"), [c for c in CASES if c[0] is not ByPlace])
def test_they_are_fixed_by_name(kind, inputs, shapes):
    model = kind().eval()
    description = Model("model", lambda: model, lambda: inputs(4, 5), shapes)
    fixed = fix_sizes(description, model, {"batch": 2}, static=False).described(description)
    program = capture(model, fixed.inputs(), fixed.dynamic_shapes)
    assert [dim.name for dim, _, _ in program.sizes().values()] == ["tokens"]


def test_sizes_of_nested_inputs_have_their_names_and_steps():
    model, width = Nested().eval(), Dim("width", max=16)
    inputs = ({"pairs": [Pair(torch.randn(2, 3, 12), torch.randn(2, 1, 1))]},)
    shapes = ({"pairs": [Pair({0: BATCH, 2: 4 * width}, {0: BATCH})]},)
    program = capture(model, inputs, shapes)
    sizes = {
        name: {axis: (dim.name, dim.high) for axis, dim in dims.items()}
        for name, dims in program.signature.dynamic.items()
    }
    image, scale = program.signature.input_names
    assert sizes == {
        image: {0: ("batch", 32), 2: ("4*width", 64)},
        scale: {0: ("batch", 32)},
    }
    description = Model("model", lambda: model, lambda: inputs, shapes)
    fixed = fix_sizes(description, model, {"width": 2}, static=False).described(description)
    assert fixed.inputs()[0]["pairs"][0].image.shape == (2, 3, 8)
