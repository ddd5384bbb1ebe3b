"""Squeezes, joins and extremes in the one form that every later stage knows."""

import pytest
import torch
from torch import nn

from rewrite import capture

X = torch.randn(2, 1, 6, 1, generator=torch.Generator().manual_seed(0))
DYNAMIC = ({0: torch.export.Dim("batch", max=16)},)


class Call(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def text(function, x=X, dynamic=None):
    module = Call(function).eval()
    program = capture(module, (x,), dynamic)
    torch.testing.assert_close(program(x), module(x))
    return program.text()


def test_a_squeeze_of_a_larger_size_is_nothing():
    assert "squeeze" not in text(lambda x: x.squeeze(2) * 2)


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (lambda x: x.squeeze() * 2, "dim=[1, 3]"),
        (lambda x: x.squeeze((0, 2, 3)) * 2, "dim=3"),
    ],
    ids=["all", "named"],
)
def test_a_squeeze_names_the_ones(function, found):
    assert found in text(function, dynamic=DYNAMIC)


@pytest.mark.parametrize("join", [torch.stack, torch.cat])
def test_parts_of_a_join_have_its_type(join):
    found = text(lambda x: join([x, x.argmax(2, keepdim=True).expand(-1, -1, 6, -1)], 1))
    assert found.count("_to_copy") == 1


@pytest.mark.parametrize("join", [torch.stack, torch.cat])
def test_a_join_of_one_type_stays(join):
    assert "_to_copy" not in text(lambda x: join([x, x + 1], 1))


EMPTY = {
    "a vector": (lambda x: torch.cat([x.new_zeros(0), x[:, 0, :, 0]], 1), 0),
    "rows": (lambda x: torch.cat([x, x[:, :0], x * 2], 1), 1),
    "of another type": (lambda x: torch.cat([torch.zeros(0, dtype=torch.float64), x * 2], 0), 0),
    "nothing": (lambda x: torch.cat([x.new_zeros(0), x[:, :0], x[:, :0]], 1), 1),
}


@pytest.mark.parametrize("name", EMPTY)
def test_a_join_has_elements_in_each_part(name):
    function, joins = EMPTY[name]
    found = text(function, dynamic=DYNAMIC)
    assert found.count("= cat(") == joins
    assert found.count(", 0, 6, 1]") == 0 or name == "nothing"


def test_indices_have_one_type():
    def pick(x):
        rows = x.argmax(1)[:, 0, 0]
        return x[rows.to(torch.int32), rows * 0]

    assert "dtype=i64" in text(pick)


def test_indices_of_one_type_and_masks_stay():
    def pick(x):
        rows = x.argmax(1)[:, 0, 0].to(torch.int32)
        return x[rows, rows * 0].sum() + x[x[:, 0, 0, 0] > 0].sum()

    assert "dtype=i64" not in text(pick)


def test_an_extreme_of_everything_names_its_dimensions():
    assert "dim=[0, 1, 2, 3]" in text(lambda x: torch.amax(x))


def test_an_extreme_of_one_value_is_it():
    assert "amax" not in text(lambda x: torch.amax(x.sum()) * 2)


def test_an_extreme_of_some_dimensions_stays():
    assert "dim=[1]" in text(lambda x: torch.amin(x, 1))


def test_a_number_has_nothing_to_transpose():
    assert "permute" not in text(lambda x: x.transpose(0, 0) * 2, X[0, 0, 0, 0])
