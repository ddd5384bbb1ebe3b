"""Booleans in arithmetic, in files with quantizers."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn
from torch.export import Dim

from rewrite.lowering.lower import lower
from rewrite.runtimes import get_runtime

from .models import LOWERINGS, quantized, written

FAULT = ("boolean-in-arithmetic",)
BATCH = Dim("batch", max=64)
X = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))


class Masked(nn.Module):
    """A layer, and what attention adds for tokens that count: (1 - mask)·lowest."""

    def __init__(self, number):
        super().__init__()
        self.layer, self.number = nn.Linear(8, 8), number

    def forward(self, x):
        return self.layer(x), self.number(x > 0)


NUMBERS = {
    "product": lambda mask: mask * 2.0,
    "lowest": lambda mask: (1.0 - mask[:, None].float()) * -1e4,
    "sum": lambda mask: mask + 1.0,
    "quotient": lambda mask: mask.float() / 3.0,
}


def lowered_of(number, avoids):
    torch.manual_seed(0)
    program = quantized(Masked(number).eval(), X, target="openvino", dynamic=({0: BATCH},))
    return program, lower(program, 20, {e.overload: e.translate for e in LOWERINGS}, {}, avoids)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_boolean_is_chosen_and_not_cast(name):
    _, result = lowered_of(NUMBERS[name], FAULT)
    found = Counter(node.op_type for node in result.model.graph)
    assert found["Where"] == 1 and not found["Cast"]


@pytest.mark.parametrize("name", NUMBERS)
def test_openvino_computes_with_it(name, tmp_path):
    pytest.importorskip("openvino")
    program, result = lowered_of(NUMBERS[name], FAULT)
    loaded = get_runtime("openvino").load(written(result, tmp_path), threads=1)
    for x in (X, torch.randn(5, 8)):
        made = loaded.run_usual({"x": x.numpy()})
        wanted = program(x)[1]
        torch.testing.assert_close(torch.from_numpy(list(made.values())[1]), wanted)


def test_a_float_file_keeps_its_casts():
    from rewrite import capture

    program = capture(Masked(NUMBERS["product"]).eval(), (X,))
    result = lower(program, 20, {e.overload: e.translate for e in LOWERINGS}, {}, FAULT)
    assert result.ops()["Cast"] == 1 and "Where" not in result.ops()
