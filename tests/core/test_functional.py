"""Graphs are made functional without another trace where that is certain."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rewrite.functional import functional_module

X = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0))


class Call(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.randn(6, 6))
        self.register_buffer("offset", torch.randn(6))

    def forward(self, x):
        return self.function(self, x)


def in_place_on_fresh(m, x):
    y = F.linear(x, m.weight)
    F.relu_(y)
    return F.hardtanh_(y * 2, 0.0, 6.0).add_(m.offset)


def views_of_canonical_form(m, x):
    y = x.flatten(1).unflatten(1, (4, 6)).contiguous().to(torch.float64).type_as(x)
    return torch.cat(y.mT.chunk(2, -1)).reshape(-1, 3)


def dropout_in_place(m, x):
    return F.dropout(x + 1, 0.5, training=False, inplace=True)


def view_written(m, x):
    y = x + 1
    y[:, 0].mul_(3)
    return y


def read_before_and_after(m, x):
    y = x * 2
    z = y.view(8, 6)
    y.add_(1)
    return y, z


def argument_written(m, x):
    y = x.clone()
    w = m.offset.clone()
    w.add_(1)
    torch.add(y, w, out=y)
    return y


def slice_assigned(m, x):
    y = torch.zeros_like(x)
    y[:, 1:] = x[:, :-1]
    return y


def compared_in_place(m, x):
    return (x * 2).gt_(0)


def added_in_place_to_half(m, x):
    return (x.half() * 2).add_(m.offset)


def narrowed(m, x):
    return x.narrow(1, 1, 2) + x.swapaxes(0, 1).narrow(0, 0, 2).swapaxes(0, 1)


def row_by_row(m, x):
    return torch.vmap(lambda row: (row * m.offset).cumsum(0))(x)


KEPT = [in_place_on_fresh, views_of_canonical_form, dropout_in_place]
TRACED = [view_written, read_before_and_after, argument_written, slice_assigned, narrowed]
TRACED += [compared_in_place, added_in_place_to_half, row_by_row]


def exported(function):
    module = Call(function).eval()
    with torch.no_grad():
        return module, torch.export.export(module, (X,), strict=False)


def assert_functional(module, graph_module):
    for node in graph_module.graph.nodes:
        if isinstance(node.target, torch._ops.OpOverload):
            assert not node.target._schema.is_mutable, node.target
        assert "functorch" not in str(getattr(node.target, "__module__", "")), node.target
    torch.testing.assert_close(graph_module(X.clone()), module(X.clone()), rtol=0, atol=0)


@pytest.mark.parametrize("function", KEPT, ids=lambda f: f.__name__)
def test_these_are_left_as_they_are(function, monkeypatch):
    module, program = exported(function)
    monkeypatch.setattr(type(program), "run_decompositions", lambda *_: pytest.fail("traced"))
    assert_functional(module, functional_module(program))


@pytest.mark.parametrize("function", TRACED, ids=lambda f: f.__name__)
def test_these_are_traced_once_more(function, monkeypatch):
    module, program = exported(function)
    calls = []
    trace = type(program).run_decompositions

    def count(self, *arguments):
        calls.append(self)
        return trace(self, *arguments)

    monkeypatch.setattr(type(program), "run_decompositions", count)
    assert_functional(module, functional_module(program))
    assert calls
