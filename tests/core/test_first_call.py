"""Models that keep something from their first call: captured as they are before it."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from rewrite import CaptureError, capture
from rewrite.attributes import Attributes

TOKENS = torch.export.Dim("tokens", max=64)
SHAPES = ({1: TOKENS},)
GLOBAL_TABLE = None


class Keeper(nn.Module):
    """A layer behind a table of positions that `function` makes and keeps."""

    def __init__(self, function):
        super().__init__()
        self.layer, self.function = nn.Linear(4, 4), function
        self.table, self.tables, self.box = None, {}, Box()

    def forward(self, x):
        return self.layer(x + self.function(self, x))


class Box:
    table = None


def made(x):
    return torch.arange(x.shape[1])[:, None] * torch.ones(4)


def is_short(table, x):
    return table is None or table.shape[0] < x.shape[1]


def attribute(m, x):
    if is_short(m.table, x):
        m.table = made(x)
    return m.table[: x.shape[1]]


def entry(m, x):
    if is_short(m.tables.get("all"), x):
        m.tables["all"] = made(x)
    return m.tables["all"][: x.shape[1]]


def inner(m, x):
    if is_short(m.box.table, x):
        m.box.table = made(x)
    return m.box.table[: x.shape[1]]


def of_class(m, x):
    if is_short(getattr(Keeper, "shared", None), x):
        Keeper.shared = made(x)
    return Keeper.shared[: x.shape[1]]


def of_file(m, x):
    global GLOBAL_TABLE
    if is_short(GLOBAL_TABLE, x):
        GLOBAL_TABLE = made(x)
    return GLOBAL_TABLE[: x.shape[1]]


def buffer(m, x):
    if not hasattr(m, "kept") or is_short(m.kept, x):
        m.register_buffer("kept", made(x), persistent=False)
    return m.kept[: x.shape[1]]


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "GLOBAL_TABLE", None)
    yield
    if "shared" in vars(Keeper):
        del Keeper.shared


PLACES = (attribute, entry, inner, of_class, of_file, buffer)


@pytest.mark.parametrize("function", PLACES, ids=[f.__name__ for f in PLACES])
def test_a_table_made_at_the_first_call_does_not_fix_a_size(function):
    model = Keeper(function).eval()
    program = capture(model, (torch.randn(2, 10, 4),), SHAPES)
    assert program.signature.dynamic["x"][1].name == "tokens"
    for tokens in (4, 10, 50):
        x = torch.randn(2, tokens, 4)
        torch.testing.assert_close(program(x), model(x))


def test_the_model_is_left_with_what_it_made_and_nothing_of_the_capture():
    model = Keeper(attribute).eval()
    capture(model, (torch.randn(2, 10, 4),), SHAPES)
    assert type(model.table) is torch.Tensor
    assert model.table.shape == (10, 4)


def test_a_layer_made_at_the_first_call_is_captured_with_its_weights():
    def grown(m, x):
        if not hasattr(m, "grown"):
            m.grown = nn.Linear(4, 4)
        return m.grown(x)

    model = Keeper(grown).eval()
    x = torch.randn(2, 10, 4)
    program = capture(model, (x,), SHAPES)
    assert "grown.weight" in dict(program.used_weights())
    torch.testing.assert_close(program(x), model(x))


def test_state_in_an_attribute_is_refused_by_name():
    def carried(m, x):
        m.table = x if m.table is None else x + m.table
        return m.table

    with pytest.raises(CaptureError, match="keeps state from call to call in 'table'") as caught:
        capture(Keeper(carried).eval(), (torch.randn(2, 10, 4),))
    assert caught.value.hint == "take the state as an argument and return the new one"


def test_a_number_that_changes_is_refused_by_name():
    def counted(m, x):
        m.calls = getattr(m, "calls", 0) + 1
        return x * m.calls

    with pytest.raises(CaptureError, match="keeps state from call to call in 'calls'"):
        capture(Keeper(counted).eval(), (torch.randn(2, 10, 4),))


def test_attributes_are_put_back_as_they_were():
    model = nn.Sequential(Keeper(attribute), Keeper(entry))
    before = Attributes(model)
    assert before.changed() == []
    model[0].table = torch.ones(2)
    model[1].tables["all"] = model[1]
    model[1].box.table = 3
    model[1].layer.extra = "more"
    Keeper.shared = torch.ones(1)
    assert sorted(before.changed()) == [
        "0.table",
        "1.box.table",
        "1.layer.extra",
        "1.tables.all",
        "Keeper.shared",
    ]
    before.put_back()
    assert before.changed() == []
    assert (model[0].table, model[1].tables) == (None, {})
    assert not hasattr(model[1].layer, "extra")
    assert not hasattr(Keeper, "shared")


def test_lazy_layers_are_named():
    with pytest.raises(CaptureError) as caught:
        capture(nn.Sequential(nn.LazyLinear(3)).eval(), (torch.randn(2, 4),))
    assert caught.value.what == "weight '0.weight' has no values yet: its layer is lazy"
