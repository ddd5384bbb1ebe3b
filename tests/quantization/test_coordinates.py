"""What says where values are read stays float."""

from __future__ import annotations

import pytest
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


class Binned(nn.Module):
    """A row of bins, or a place to write to, by a computed number."""

    def __init__(self, reader: str):
        super().__init__()
        self.place, self.rows, self.reader = nn.Linear(8, 8), nn.Embedding(8, 3), reader

    def forward(self, x):
        place = (self.place(x).sigmoid() * 7.99).floor().long()
        if self.reader == "embedding":
            return self.rows(place)
        if self.reader == "scatter":
            return torch.zeros_like(x).scatter(1, place, x)
        rows = torch.arange(x.shape[0])
        return torch.zeros_like(x).index_put((rows, place[:, 0]), torch.ones(()))


class Chosen(nn.Module):
    """Rows by what is above a limit, by the bin, or where a pool found the largest."""

    def __init__(self, choice: str):
        super().__init__()
        self.place, self.rows, self.choice = nn.Linear(8, 8), nn.Embedding(8, 3), choice
        self.register_buffer("limits", torch.linspace(-1, 1, 7))

    def forward(self, x):
        y = self.place(x)
        if self.choice == "mask":
            return self.rows((y > 0).long())
        if self.choice == "bins":
            return self.rows(torch.bucketize(y, self.limits))
        values, places = F.max_pool1d(y[:, None], 2, return_indices=True)
        return F.max_unpool1d(values, places, 2)


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


@pytest.mark.parametrize("reader", ["embedding", "scatter", "index_put"])
def test_whatever_takes_an_index_keeps_what_it_is_computed_from_float(reader):
    reason = rejected(Binned(reader), ROWS)["linear"]
    assert reason == f"its result gives {reader} its places, which int8 would move"


@pytest.mark.parametrize("choice", ["mask", "bins", "pool"])
def test_what_is_chosen_by_comparing_is_quantized(choice):
    assert "linear" not in rejected(Chosen(choice), ROWS)
