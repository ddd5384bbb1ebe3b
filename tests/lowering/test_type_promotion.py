"""The exporter promotes types as ever, and computes nothing again that is known."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.onnx._internal.fx.passes.type_promotion import InsertTypePromotion

from rewrite.lowering.type_promotion import known_values


class Mixed(nn.Module):
    """Integers, truth values, halves and floats together, with numbers and without."""

    def forward(self, x, ids):
        half = x.half()
        doubled = (ids + 1) * 2.5 + x.shape[1] + (ids > 2) * x
        joined = torch.cat([doubled, ids.to(x.dtype), x.double()], dim=1)
        powers = torch.pow(ids, 2) + torch.pow(2.0, x) + torch.sin(ids)
        picked = torch.where(ids > 3, ids, x) + half.softmax(-1) + half * x
        return joined, powers, picked.clamp(0, 6), x.sum() + ids.mean(dtype=torch.float64)


class Plain(nn.Module):
    def forward(self, x, ids):
        for _ in range(10):
            x = torch.tanh(x + x) * x
        return x, ids


def promoted(model):
    rows, columns = torch.export.Dim("rows"), torch.export.Dim("columns")
    sizes = {0: rows, 1: columns}
    inputs = (torch.randn(3, 4), torch.randint(0, 5, (3, 4)))
    program = torch.export.export(model.eval(), inputs, dynamic_shapes=(sizes, sizes))
    module = program.run_decompositions({}).graph_module
    InsertTypePromotion(module).run()
    return module


def listed(module):
    return [(n.name, n.target, str(n.args), str(n.meta.get("val"))) for n in module.graph.nodes]


@pytest.fixture
def computed(monkeypatch):
    calls = []
    plain = FakeTensorMode.dispatch

    def dispatch(mode, func, *others, **named):
        calls.append(func)
        return plain(mode, func, *others, **named)

    monkeypatch.setattr(FakeTensorMode, "dispatch", dispatch)
    return calls


def test_the_same_types_are_promoted():
    expected = listed(promoted(Mixed()))
    assert any("convert_element_type" in str(target) for _, target, _, _ in expected)
    with known_values():
        assert listed(promoted(Mixed())) == expected


def test_what_is_known_is_not_computed_again(computed):
    program = promoted(Plain())
    computed.clear()
    InsertTypePromotion(program).run()
    usual = len(computed)
    computed.clear()
    with known_values():
        InsertTypePromotion(program).run()
    assert usual >= 30
    assert len(computed) < usual / 5
