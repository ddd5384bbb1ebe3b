"""Numbers read from weights alone are constants; those of inputs and of state are not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rewrite import CaptureError, capture

BATCH = ({0: torch.export.Dim("batch", max=9)},)


class Reads(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.layer, self.function = nn.Linear(4, 4), function
        self.register_buffer("count", torch.tensor(3))
        self.register_buffer("factors", torch.tensor([1.5, 2.0]))

    def forward(self, x):
        return self.function(self, x)


def scaled(m, x):
    return x * float(m.layer.weight.abs().max())


def cut(m, x):
    return x[:, : m.count.item()] + m.factors.max().item()


def shaped(m, x):
    return m.layer(x).reshape(-1, int(m.count) - 1)


def parts(m, x):
    return x.split(int((m.factors > 1).sum()), 1)[0]


def as_it_is(m, x):
    return x * m.factors.float().max().float().item()


def padded(m, x):
    behind = x.shape[1] - m.count
    return torch.nn.functional.pad(x, (behind, behind + 1))


def repeated(m, x):
    return x.unsqueeze(0).expand([m.count.long(), -1, 4])


CONSTANTS = (scaled, cut, shaped, parts, as_it_is, padded, repeated)


@pytest.mark.parametrize("function", CONSTANTS, ids=[f.__name__ for f in CONSTANTS])
def test_what_follows_from_weights_is_a_constant(function):
    model = Reads(function).eval()
    program = capture(model, (torch.randn(3, 4),), BATCH)
    assert "= item(" not in program.text()
    x = torch.randn(5, 4)
    torch.testing.assert_close(program(x), model(x))


def test_what_follows_from_an_input_is_none():
    def summed(m, x):
        return x + x.sum().item()

    assert "item" in capture(Reads(summed).eval(), (torch.randn(3, 4),)).text()


def test_what_an_input_keeps_is_none():
    def bounded(m, x):
        lengths = (x > 0).sum(1).long()
        torch._check(lengths.max().item() <= x.shape[1])
        return x * lengths[:, None]

    model = Reads(bounded).eval()
    program = capture(model, (torch.randn(3, 4),), BATCH)
    x = torch.randn(5, 4)
    torch.testing.assert_close(program(x), model(x))


def test_what_is_written_is_none():
    def counted(m, x):
        m.count.add_(1)
        return x * int(m.count)

    with pytest.raises(CaptureError):
        capture(Reads(counted).eval(), (torch.randn(3, 4),))
