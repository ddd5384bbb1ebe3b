"""Complex arithmetic read as pairs becomes real arithmetic, and is the same function."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.export import Dim

from rewrite import capture
from rewrite.canonical.complex_pairs import COMPLEX_RULES
from rewrite.lowering.lower import lower

from .programs import Call, canonical, randn, reasons

X, Y = randn(2, 6, 4, 8), randn(2, 6, 4, 8)
DYNAMIC = {"inputs": ({0: Dim("batch", max=8), 1: Dim("tokens", max=16)},) * 2}
TURNS = torch.polar(torch.ones(32, 4), torch.outer(torch.arange(32.0), 0.1 ** torch.arange(4.0)))


def to_complex(x):
    return torch.view_as_complex(x.unflatten(-1, (-1, 2)))


def to_real(c):
    return torch.view_as_real(c).flatten(-2)


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x, y: to_real(to_complex(x) * to_complex(y)),
        lambda m, x, y: to_real(to_complex(x) * m.turns[: x.shape[1]][None, :, None]),
        lambda m, x, y: to_real(to_complex(x) * m.turns[: x.shape[1]].unsqueeze(-2)),
        lambda m, x, y: to_real(to_complex(x) * m.turns[None, : x.shape[1], None].conj()),
        lambda m, x, y: to_real(to_complex(x) * torch.polar(y[..., :4].abs(), y[..., 4:])),
        lambda m, x, y: to_real(torch.complex(x[..., :4], x[..., 4:]) * y[..., :4]),
        lambda m, x, y: to_real((to_complex(x) + to_complex(y)) / 3 - to_complex(y) * 0.5),
        lambda m, x, y: to_real(to_complex(x) / (y[..., :4].abs() + 1)),
        lambda m, x, y: to_real(torch.cat([to_complex(x), to_complex(y)], -2).transpose(1, -1)),
        lambda m, x, y: to_real(to_complex(x)[..., 1:3].flip(-1).reshape(x.shape[0], -1, 2)),
        lambda m, x, y: to_real(to_complex(x)[:, :, 1].unsqueeze(-1).expand(-1, -1, -1, 3)),
        lambda m, x, y: (to_complex(x) * to_complex(y)).real + to_complex(y).imag,
        lambda m, x, y: (to_complex(x) * to_complex(y).conj()).abs(),
    ],
)
def test_no_complex_tensor_is_left(function):
    module = Call(function)
    module.register_buffer("turns", TURNS)
    program = canonical(module, (X, Y), DYNAMIC)
    assert "complex" not in program.text()
    lower(program, 20, {}, {})


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda m, x, y: to_real(to_complex(x) / to_complex(y)), "its divisor is no real number"),
        (lambda m, x, y: to_real(to_complex(x) + y[..., :4]), "it is not of two complex tensors"),
        (lambda m, x, y: to_real(to_complex(x) * y[..., :4].int()), "a factor is no float of"),
        (lambda m, x, y: to_real(torch.complex(x, y[:, :, :1, :1])), "its parts have different"),
    ],
)
def test_others_are_left_as_they_are(function, reason):
    found = reasons(COMPLEX_RULES, Call(function), (X, Y))
    assert any(reason in each for each in found), found


def test_a_spectrum_keeps_what_computes_it():
    program = capture(Call(lambda m, x: torch.fft.rfft(x).abs()).eval(), (X,))
    assert "rfft" in program.text() or "_fft_r2c" in program.text()


class Rotated(nn.Module):
    """Attention with complex rotations from a buffer, as LLaMA was first written."""

    def __init__(self):
        super().__init__()
        self.q, self.k = nn.Linear(32, 32), nn.Linear(32, 32)
        self.register_buffer("turns", TURNS, persistent=False)

    def rotate(self, x):
        turns = self.turns[: x.shape[1]].view(1, x.shape[1], 1, -1)
        return to_real(to_complex(x.float()) * turns).type_as(x)

    def forward(self, x):
        q, k = (self.rotate(part(x).unflatten(-1, (4, 8))) for part in (self.q, self.k))
        return torch.einsum("bthd,bshd->bhts", q, k).softmax(-1)


def test_rotary_attention_of_any_length():
    x = randn(2, 7, 32)
    dynamic = {"x": {0: Dim("batch", max=8), 1: Dim("tokens", max=32)}}
    program = canonical(Rotated(), (x,), dynamic)
    assert "complex" not in program.text()
    other = randn(3, 20, 32)
    module = Rotated().eval()
    again = capture(module, (x,), dynamic)
    torch.testing.assert_close(again(other), module(other))
