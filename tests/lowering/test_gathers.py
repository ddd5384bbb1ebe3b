"""Scales per channel stay where OpenVINO would carry them to where they do not fit."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.export import Dim

from rewrite.lowering.lower import lower
from rewrite.runtimes import get_runtime

from .models import quantized, seven_bits, written

pytest.importorskip("openvino")
AVOIDS = ("reshape-of-scales", "gather-of-scales")
BATCH = Dim("batch", max=64)
X = torch.randn(3, 6, 8, generator=torch.Generator().manual_seed(0))


class Normed(nn.Module):
    """A layer, a batch norm over its rows, and something that reads those."""

    def __init__(self, reader, rows: bool = True):
        super().__init__()
        self.layer, self.head = nn.Linear(8, 8), nn.Linear(8, 4)
        self.norm = nn.BatchNorm1d(6) if rows else nn.LayerNorm(8)
        self.reader = reader
        with torch.no_grad():
            for value in self.norm.parameters():
                value.uniform_(0.5, 2)
        if rows:
            self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        y = self.norm(self.layer(x))
        return self.head(y), self.reader(y)


READERS = {
    "one place": lambda y: y[..., 0],
    "one sample": lambda y: y[0],
    "a table of places": lambda y: y[:, :, torch.tensor([[0, 1], [2, 3]])],
    "rows in one": lambda y: y.reshape(-1, 8),
}


def lowered_of(model: nn.Module):
    torch.manual_seed(0)
    program = quantized(model.eval(), X, target=seven_bits("openvino"), dynamic=({0: BATCH},))
    return program, lower(program, 20, {}, {}, AVOIDS)


@pytest.mark.parametrize("reader", READERS)
def test_a_norm_over_rows_is_right_on_openvino(reader, tmp_path):
    program, lowered = lowered_of(Normed(READERS[reader]))
    loaded = get_runtime("openvino").load(written(lowered, tmp_path), threads=1)
    for x in (X, X.flip(0)[:2] * 0.9):
        expected = program(x)
        for want, have in zip(expected, loaded.run({"x": x.numpy()}).values(), strict=True):
            noise = (torch.from_numpy(have) - want).norm() / want.norm()
            assert noise < 0.03


@pytest.mark.parametrize(
    ("reader", "rows"),
    [(READERS["one place"], False), (lambda y: y[:, :, torch.tensor([0, 3])], True)],
    ids=["scales along the last axis", "a list of places"],
)
def test_what_keeps_its_scales_is_left_alone(reader, rows):
    _, lowered = lowered_of(Normed(reader, rows=rows))
    assert not [n for n in lowered.model.graph if n.name and n.name.endswith("_held")]
