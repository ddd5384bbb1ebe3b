import math

import pytest
import torch

from rewrite.canonical.gelu import GELU_RULES

from .programs import Call, canonical, ops, randn, reasons

X = (randn(3, 8),)
ROOT = math.sqrt(2.0)
TANH = math.sqrt(2 / math.pi)
FLOAT32_LITERALS = 1e-8
"""A constant typed to eight digits is the right one in float32, not in float64."""

ERF = [
    lambda m, x: 0.5 * x * (1 + torch.erf(x / ROOT)),
    lambda m, x: x * 0.5 * (1.0 + torch.erf(x / ROOT)),
    lambda m, x: x * (0.5 * (1.0 + torch.erf(x * 2**-0.5))),
    lambda m, x: 0.5 * (x * (torch.erf(x / ROOT) + 1.0)),
    lambda m, x: (x / 2) * (1.0 + torch.erf(x / ROOT)),
    lambda m, x: x * (1.0 + torch.erf(x / ROOT)) / 2,
]
TANHS = [
    lambda m, x: 0.5 * x * (1 + torch.tanh(TANH * (x + 0.044715 * torch.pow(x, 3.0)))),
    lambda m, x: 0.5 * x * (1 + torch.tanh(TANH * (x + 0.044715 * x**3))),
    lambda m, x: x * 0.5 * (1 + torch.tanh(TANH * x * (1 + 0.044715 * x * x))),
    lambda m, x: 0.5 * (x * (1 + torch.tanh((x + x * x * x * 0.044715) * TANH))),
]


@pytest.mark.parametrize("function", ERF)
def test_erf_form(function):
    program = canonical(Call(function), X)
    assert ops(program) == {"gelu": 1}
    assert "approximate" not in program.text()


@pytest.mark.parametrize("function", TANHS)
def test_tanh_form(function):
    program = canonical(Call(function), X)
    assert ops(program) == {"gelu": 1}
    assert "approximate='tanh'" in program.text()


def test_constants_typed_in_float32():
    def forward(m, x):
        return x * 0.5 * (1 + torch.tanh(0.79788456 * x * (1 + 0.044715 * x * x)))

    assert ops(canonical(Call(forward), X, bound=FLOAT32_LITERALS)) == {"gelu": 1}


def test_a_gate_beside_it_stays():
    def forward(m, x):
        y = x + 1
        return 0.5 * y * (1 + torch.erf(y / ROOT)) * x

    assert ops(canonical(Call(forward), X)) == {"add": 1, "gelu": 1, "mul": 1}


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: x * (1 + torch.erf(x / ROOT)),
        lambda m, x: 0.5 * x * (1 + torch.erf(x / 1.4142)),
        lambda m, x: 0.5 * x * (1 + torch.erf(x.exp() / ROOT)),
        lambda m, x: 0.5 * x * (1 + torch.tanh(TANH * (x + 0.05 * x**3))),
        lambda m, x: x * (1 + torch.erf(x / ROOT)) / 3,
    ],
)
def test_declines_other_constants(function):
    found = reasons(GELU_RULES, Call(function), X)
    assert any("not those of a GELU" in f for f in found), found
    assert "gelu" not in ops(canonical(Call(function), X))
