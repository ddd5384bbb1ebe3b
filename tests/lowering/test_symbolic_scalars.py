"""Sizes known at run time as operands: the file follows them."""

import math

import pytest
import torch
from torch import nn

from rewrite import capture

from .models import OPSET, assert_agrees

BATCH, SIZE = torch.export.Dim("batch", min=2, max=30), torch.export.Dim("size", min=2, max=30)
FUNCTIONS = {
    "remainder": lambda x, ids, n: ids % n,
    "remainder of negatives": lambda x, ids, n: (ids - 40) % -n,
    "remainder of floats": lambda x, ids, n: x % n,
    "remainder of a size": lambda x, ids, n: n % ids,
    "remainder of a range": lambda x, ids, n: torch.arange(n) % x.shape[0],
    "remainder of half a size": lambda x, ids, n: ids % (n // 2),
    "remainder of other integers": lambda x, ids, n: ids.int() % n,
    "fmod": lambda x, ids, n: torch.fmod(ids - 40, n),
    "floor_divide": lambda x, ids, n: (ids - 40) // n,
    "div, floor": lambda x, ids, n: torch.div(x, n, rounding_mode="floor"),
    "div, trunc": lambda x, ids, n: torch.div(ids - 40, n, rounding_mode="trunc"),
    "power": lambda x, ids, n: (x / 9) ** n,
    "power of a size": lambda x, ids, n: n ** (x / 9),
    "bits": lambda x, ids, n: (ids & n) + (ids | n) + (ids ^ n),
    "shift": lambda x, ids, n: (ids << n) + (ids >> n),
    "addcmul": lambda x, ids, n: torch.addcmul(x, x / 9, x / 9, value=n),
    "addcdiv": lambda x, ids, n: torch.addcdiv(x, x, 9 + x.abs(), value=n),
    "clamp": lambda x, ids, n: x.clamp(0, n),
    "hardtanh": lambda x, ids, n: nn.functional.hardtanh(x, -n, n),
    "math.sqrt": lambda x, ids, n: x / math.sqrt(n) * math.sqrt(2.0),
    "round": lambda x, ids, n: x[:, : round(n * 0.5)],
    "a quotient rounded up": lambda x, ids, n: ids + -(-n // 2),
    "a quotient of a negative size": lambda x, ids, n: ids + (4 - n) // 2,
    "a quotient by a negative number": lambda x, ids, n: ids + n // -2,
    "a remainder of a negative size": lambda x, ids, n: ids + (4 - n) % 3,
    "math.ceil": lambda x, ids, n: ids + math.ceil(n / 2),
    "math.floor of a negative number": lambda x, ids, n: ids + math.floor((4 - n) / 2),
    "math.trunc of a negative number": lambda x, ids, n: ids + math.trunc((4 - n) / 2),
    "math.trunc of a product": lambda x, ids, n: ids + math.trunc(n * 0.7),
    "the larger and the smaller": lambda x, ids, n: ids * max(n, 6) - min(n, 6),
    "abs": lambda x, ids, n: ids + abs(n - 6),
    "padded as in a U-Net": lambda x, ids, n: nn.functional.pad(
        x, [(2 * (n // 2) - n) // 2, (2 * (n // 2) - n) - (2 * (n // 2) - n) // 2]
    ),
}


class Call(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x, ids):
        return self.function(x, ids, x.shape[1])


def inputs(batch, size):
    draw = torch.Generator().manual_seed(batch * size)
    return (
        torch.randn(batch, size, generator=draw) * 9,
        torch.randint(1, 90, (batch, size), generator=draw),
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_size_is_an_operand(name, tmp_path):
    model = Call(FUNCTIONS[name]).eval()
    program = capture(model, inputs(4, 7), ({0: BATCH, 1: SIZE},) * 2)
    for batch, size in ((4, 7), (3, 5), (8, 6)):
        assert_agrees(program, tmp_path, OPSET, *inputs(batch, size))


def test_numbers_stay_numbers():
    program = capture(Call(lambda x, ids, n: ids % 3).eval(), inputs(4, 7))
    assert "remainder(%ids, other=3)" in program.text()
