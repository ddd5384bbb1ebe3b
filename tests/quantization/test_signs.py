"""What is never negative is told from the calls that lead to it."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rewrite import capture
from rewrite.quantization.signs import is_never_negative

X = torch.randn(1, 4, 4, 4)


class Call(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function, self.weight = function, nn.Parameter(torch.rand(4, 1, 1))

    def forward(self, x):
        return self.function(x, self.weight)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x, w: x.relu(), True),
        (lambda x, w: F.relu6(x), True),
        (lambda x, w: x.clamp(0.5, 1), True),
        (lambda x, w: x.clamp(-1, 1), False),
        (lambda x, w: x.clamp(max=1), False),
        (lambda x, w: F.max_pool2d(torch.cat([x.relu(), x.sigmoid()], 1), 2).flatten(1), True),
        (lambda x, w: torch.cat([x.relu(), x], 1), False),
        (lambda x, w: F.interpolate(x.relu(), scale_factor=2.0), True),
        (lambda x, w: x.relu() + x.sigmoid(), True),
        (lambda x, w: torch.add(x.relu(), x.sigmoid(), alpha=-1), False),
        (lambda x, w: x.relu() * x.softmax(1), True),
        (lambda x, w: x.relu() * 2.0 + 1, True),
        (lambda x, w: x.relu() + -1, False),
        (lambda x, w: x.relu() * -2.0, False),
        (lambda x, w: x.relu() * w, False),
        (lambda x, w: F.leaky_relu(x.relu() - 1), False),
        (lambda x, w: x, False),
    ],
)
def test_never_negative(function, expected):
    (output,) = capture(Call(function).eval(), (X,)).outputs()
    assert is_never_negative(output) is expected
