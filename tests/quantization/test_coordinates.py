"""What says where values are read stays float."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from .test_joins import rejected

IMAGE = torch.randn(1, 8, 12, 12, generator=torch.Generator().manual_seed(0))
ROWS = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))


class Warped(nn.Module):
    """A map that is read where a convolution says."""

    def __init__(self):
        super().__init__()
        self.offsets, self.values = nn.Conv2d(8, 2, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.before = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x):
        x = self.before(x).relu()
        grid = self.offsets(x).permute(0, 2, 3, 1).tanh()
        return F.grid_sample(self.values(x), grid, align_corners=False)


class Looked(nn.Module):
    """Rows that are looked up at a computed place, or at that of the largest."""

    def __init__(self, largest: bool):
        super().__init__()
        self.place, self.largest = nn.Linear(8, 8), largest

    def forward(self, x):
        y = self.place(x)
        index = y.argmax(1, keepdim=True) if self.largest else (y[:, :1].sigmoid() * 7).long()
        return torch.gather(x, 1, index)


def test_layers_that_a_grid_is_made_of_stay_float():
    found = rejected(Warped(), IMAGE, profit=False)
    assert list(found.values()) == [
        "its result gives grid_sampler_2d its places, which int8 would move"
    ] or list(found.values()) == ["its result gives grid_sampler its places, which int8 would move"]


def test_layers_that_an_index_is_computed_from_stay_float():
    (reason,) = rejected(Looked(largest=False), ROWS).values()
    assert reason == "its result gives gather its places, which int8 would move"


def test_a_choice_of_the_largest_is_quantized():
    assert not rejected(Looked(largest=True), ROWS)
