"""Regions of gradients and of autocast leave no trace but what they compute."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rewrite import capture
from rewrite.provenance import source_line
from rewrite.talk import Talk


class Steps(Talk):
    def __init__(self):
        self.steps = []

    def step(self, text):
        self.steps.append(text)


class Regions(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.table = torch.arange(4.0)

    def forward(self, x):
        with torch.enable_grad():
            y, z = x.sin() + self.table, x.cos()
            with torch.autocast("cpu", enabled=False):
                w = self.layer(z)
        with torch.set_grad_enabled(True):
            v = torch.cond(y.sum() > 0, lambda t: t * 2, lambda t: t - 1, (y,))
        return v, w, y.exp()


def test_regions_are_put_where_they_stand_with_their_lines():
    model, x = Regions().eval(), torch.randn(2, 4)
    program = capture(model, (x,))
    lines = {str(n.target): source_line(n) for n in program.graph.nodes if n.op == "call_function"}
    assert lines["aten.sin.default"].endswith("y, z = x.sin() + self.table, x.cos()")
    assert lines["aten.linear.default"].endswith("w = self.layer(z)")
    assert lines["aten.exp.default"].endswith("return v, w, y.exp()")
    for given in (x, -x - 3):
        torch.testing.assert_close(program(given), model(given))


class Autocast(nn.Module):
    def __init__(self, dtype):
        super().__init__()
        self.dtype, self.layer = dtype, nn.Linear(64, 4)

    def forward(self, x):
        with torch.autocast("cpu", dtype=self.dtype):
            return self.layer(x) + 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_what_autocast_rounds_is_computed_in_full_and_told(dtype):
    model, x, steps = Autocast(dtype).eval(), torch.randn(3, 64), Steps()
    program = capture(model, (x,), talk=steps)
    assert program(x).dtype == torch.float32
    torch.testing.assert_close(program(x), model.layer(x) + 1)
    told = f"compute in float32 what autocast asks for in {str(dtype).removeprefix('torch.')}"
    assert steps.steps == [told]
    assert model(x).dtype == dtype  # the model is as it was


def test_autocast_that_is_off_is_not_told():
    steps = Steps()
    capture(Regions().eval(), (torch.randn(2, 4),), talk=steps)
    assert steps.steps == []
