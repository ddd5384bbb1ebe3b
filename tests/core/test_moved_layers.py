"""Layers that are moved, while the model runs, to where they are."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rewrite import capture

MOVES = {
    "to a type": lambda layer, x: layer.to(x.dtype),
    "to a place": lambda layer, x: layer.to(x.device),
    "to a tensor": lambda layer, x: layer.to(x),
    "float": lambda layer, x: layer.float(),
    "cpu": lambda layer, x: layer.cpu(),
}


class Moved(nn.Module):
    def __init__(self, move):
        super().__init__()
        self.move = move
        self.layer = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))

    def forward(self, x):
        self.layer = self.move(self.layer, x)
        return self.layer(x)


@pytest.mark.parametrize("name", MOVES)
def test_to_where_it_is(name):
    model = Moved(MOVES[name]).eval()
    weight = model.layer[0].weight
    program = capture(model, (torch.randn(3, 4),), ({0: torch.export.Dim("batch", max=9)},))
    x = torch.randn(5, 4)
    torch.testing.assert_close(program(x), model(x))
    assert model.layer[0].weight is weight
