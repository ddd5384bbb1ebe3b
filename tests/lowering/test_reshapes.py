"""Rows with scales per channel are laid out in shapes that OpenVINO moves no scales past."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.export import Dim

from rewrite.lowering.lower import lower
from rewrite.runtimes import get_runtime

from .models import quantized, seven_bits, written

pytest.importorskip("openvino")
AVOIDS = ("reshape-of-scales",)
BATCH = Dim("batch", max=64)


class Rows(nn.Module):
    """A layer beside rows that some scale per channel and a Reshape cut otherwise."""

    def __init__(self, scaled: nn.Module, *sizes: int):
        super().__init__()
        self.layer, self.scaled, self.sizes = nn.Linear(4, 4), scaled, sizes

    def forward(self, x):
        y = self.scaled(x.reshape(-1, 4)).reshape(x.shape[0], *self.sizes)
        return self.layer(x), y


class Factor(nn.Module):
    def __init__(self, shift: bool = False):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor([0.5, 2.0, -1.0, 3.0]))
        self.shift = nn.Parameter(torch.tensor([0.5, 2.0, -1.0, 3.0])) if shift else None

    def forward(self, x):
        y = x * self.factor
        return y if self.shift is None else torch.relu(y + self.shift)


def norm() -> nn.LayerNorm:
    made = nn.LayerNorm(4)
    with torch.no_grad():
        made.weight.uniform_(0.5, 2)
    return made


HIDDEN = {
    "factor": lambda: Rows(Factor(), 10, 4),
    "factor, other channels": lambda: Rows(Factor(), 4, 10),
    "factor and shift": lambda: Rows(Factor(shift=True), 5, 2, 4),
    "norm": lambda: Rows(norm(), 10, 4),
    "product": lambda: Rows(nn.Linear(4, 4, bias=False), 10, 2, 2),
}
KEPT = {
    "product with a bias": lambda: Rows(nn.Linear(4, 4), 10, 4),
    "activation": lambda: Rows(nn.Tanh(), 10, 4),
    "rows in one": lambda: Rows(Factor(), 40),
}


def lowered_rows(make, dynamic=({0: BATCH},)):
    torch.manual_seed(0)
    program = quantized(
        make(), torch.randn(3, 10, 4), target=seven_bits("portable"), dynamic=dynamic
    )
    return program, lower(program, 20, {}, {}, AVOIDS)


def is_hidden(lowered) -> bool:
    return any(node.op_type == "Shape" for node in lowered.model.graph)


@pytest.mark.parametrize("form", HIDDEN)
def test_shapes_are_computed_behind_scales(form, tmp_path):
    program, result = lowered_rows(HIDDEN[form])
    assert is_hidden(result)
    path = written(result, tmp_path)
    for name in ("openvino", "onnxruntime"):
        loaded = get_runtime(name).load(path, threads=1)
        for batch in (1, 7):
            other = torch.randn(batch, 10, 4)
            expected = [y.detach().numpy() for y in program(other)]
            found = list(loaded.run({"x": other.numpy()}).values())
            assert [y.shape for y in found] == [y.shape for y in expected]
            assert all(abs(a - b).max() < 0.05 for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("form", KEPT)
def test_other_shapes_stay_constant(form):
    _, result = lowered_rows(KEPT[form])
    assert not is_hidden(result)


def test_fixed_sizes_stay_constant():
    _, result = lowered_rows(HIDDEN["factor"], None)
    assert not is_hidden(result)
