import pytest
import torch
from torch.nn.functional import relu6

from rewrite.canonical.activations import ACTIVATION_RULES

from .programs import Call, canonical, ops, randn, reasons

X = (randn(3, 8),)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda m, x: x * torch.sigmoid(x), "silu"),
        (lambda m, x: torch.sigmoid(x) * x, "silu"),
        (lambda m, x: relu6(x + 3) / 6, "hardsigmoid"),
        (lambda m, x: x * relu6(x + 3) / 6, "hardswish"),
        (lambda m, x: x * (relu6(3.0 + x) / 6), "hardswish"),
        (lambda m, x: x * torch.clamp(x + 3, 0, 6) * (1 / 6), "hardswish"),
        (lambda m, x: relu6(x), "hardtanh"),
        (lambda m, x: torch.clamp(x, -1, 1), "hardtanh"),
        (lambda m, x: torch.clamp(x, min=0), "relu"),
        (lambda m, x: torch.nn.functional.rrelu(x, 0.1, 0.5), "leaky_relu"),
    ],
)
def test_written_out(function, name):
    assert ops(canonical(Call(function), X)) == {name: 1}


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda m, x: x * relu6(x + 3) / 5, "it is not divided by 6"),
        (lambda m, x: relu6(x + 2) / 6, "it is not shifted by 3"),
        (lambda m, x: x.exp() * relu6(x + 3) / 6, "not relu6 of the same value plus 3"),
        (lambda m, x: torch.clamp(x, min=-1), "one bound that is not 0"),
        (lambda m, x: torch.clamp(x.long(), 0, 6), "it bounds integers"),
    ],
)
def test_declines(function, reason):
    found = reasons(ACTIVATION_RULES, Call(function), X)
    assert any(reason in f for f in found), found
    canonical(Call(function), X)


def test_quick_gelu_is_no_silu():
    found = ops(canonical(Call(lambda m, x: x * torch.sigmoid(1.702 * x)), X))
    assert found == {"mul": 2, "sigmoid": 1}
