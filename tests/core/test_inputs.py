"""Models that write what they are given: captured as if they did not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rewrite import CaptureError, capture
from rewrite.inputs import copied, on_copies

BATCH = torch.export.Dim("batch", max=64)


class Writes(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.layer, self.act, self.function = nn.Linear(6, 6), nn.ReLU(inplace=True), function

    def forward(self, x):
        return self.function(self, x)


def centred(m, x):
    x.sub_(x.mean(-1, keepdim=True)).div_(2.0)
    x += 1
    return m.layer(x) + x


def through_a_view(m, x):
    x.view(-1)[::2].mul_(2)
    return m.layer(x)


def transposed(m, x):
    y = x.T
    y.add_(1)
    return m.layer(x), y


def in_part(m, x):
    x[:, 0] = 0
    x[x < 0] = 0.5
    return m.layer(x)


def activated(m, x):
    return m.layer(m.act(x)) + x


def returned(m, x):
    x.mul_(2)
    return x


def filled(m, x):
    torch.add(x, 1, out=x)
    return m.layer(x)


WRITES = (centred, through_a_view, transposed, in_part, activated, returned, filled)


@pytest.mark.parametrize("function", WRITES, ids=[f.__name__ for f in WRITES])
def test_a_written_input_is_the_program_s_own(function):
    model = Writes(function).eval()
    x = torch.randn(4, 6)
    kept = x.clone()
    program = capture(model, (x,), ({0: BATCH},))
    assert torch.equal(x, kept)
    assert torch.equal(program.example[0][0], kept)
    for rows in (1, 4, 9):
        x = torch.randn(rows, 6)
        expected = model(x.clone())
        kept = x.clone()
        torch.testing.assert_close(program(x), expected)
        assert torch.equal(x, kept)


def test_written_containers_are_the_program_s_own():
    class Pops(nn.Module):
        def forward(self, named, listed):
            named["y"] = named.pop("x").mul_(2)
            listed.append(listed[0] + named["y"])
            return listed[1]

    x = torch.ones(3)
    named, listed = {"x": x}, [x]
    program = capture(Pops().eval(), (named, listed))
    assert (list(named), len(listed)) == (["x"], 1)
    assert torch.equal(program(named, listed), torch.full((3,), 3.0))
    assert torch.equal(x, torch.ones(3))


def reshaped(m, x):
    x.unsqueeze_(0)
    return m.layer(x)


def bare(m, x):
    x.data.mul_(2)
    return m.layer(x)


def exchanged(m, x):
    x.data = x * 2
    return m.layer(x)


@pytest.mark.parametrize("function", [reshaped, bare, exchanged])
def test_a_write_that_cannot_be_followed_names_the_input(function):
    with pytest.raises(CaptureError) as caught:
        capture(Writes(function).eval(), (torch.randn(4, 6),), ({0: BATCH},))
    assert caught.value.what.startswith("the model changes its input 'x' in place, in a way that")
    assert "x = x.unsqueeze(0)" in str(caught.value.hint)


def test_a_write_that_fixes_a_size_names_its_line():
    def taken_apart(m, x):
        for column in x.unbind(1):
            column.sub_(1)
        return x

    with pytest.raises(CaptureError, match="the dynamic shapes do not hold") as caught:
        capture(Writes(taken_apart).eval(), (torch.randn(4, 6),), ({0: BATCH},))
    assert caught.value.what.endswith("fixes dimension 0 of 'x'")
    assert str(caught.value.where).endswith("column.sub_(1)")


def test_a_function_on_copies_writes_to_nothing_of_ours():
    def doubled(x, *, y):
        return x.mul_(2) + y.mul_(2)

    x, y = torch.ones(2), torch.ones(2)
    assert torch.equal(on_copies(doubled)(x, y=y), torch.full((2,), 4.0))
    assert torch.equal(x, torch.ones(2))
    assert torch.equal(y, torch.ones(2))


def test_a_tensor_given_twice_becomes_two():
    x = torch.ones(2)
    first, second = copied((x, x))
    first.zero_()
    assert torch.equal(second, torch.ones(2))
