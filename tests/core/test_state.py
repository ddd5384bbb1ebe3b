"""What a model writes into its buffers: left out where nothing reads it, else refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rewrite import CaptureError, capture


class Counting(nn.Module):
    def __init__(self, read):
        super().__init__()
        self.read = read
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        if self.read:
            x = x * self.calls
        self.calls.add_(1)
        return x + 1


def test_a_counter_that_nobody_reads_is_not_counted():
    model = Counting(read=False).eval()
    program = capture(model, (torch.randn(2, 3),))
    counted = model.calls.clone()
    program(torch.randn(2, 3))
    assert torch.equal(model.calls, counted)
    assert "calls" not in program.text()


@pytest.mark.parametrize("layer", [nn.BatchNorm2d, nn.InstanceNorm2d])
def test_statistics_of_a_norm_in_training_mode_are_not_written(layer):
    class HalfTrained(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = layer(3, track_running_stats=True)

        def train(self, mode=True):
            super().train(mode)
            self.norm.train()
            return self

        def forward(self, x):
            return self.norm(x)

    x = torch.randn(2, 3, 4, 4)
    frozen = HalfTrained().eval()
    program = capture(frozen, (x,))
    before = frozen.norm.running_mean.clone()
    program(x)
    assert torch.equal(frozen.norm.running_mean, before)
    assert not any("running" in name for name, _ in program.used_weights())


def test_state_carried_from_call_to_call_is_refused():
    with pytest.raises(CaptureError, match="keeps state from call to call in buffer") as error:
        capture(Counting(read=True).eval(), (torch.randn(2, 3),))
    assert "x = x * self.calls" in str(error.value)


class Buffered(nn.Module):
    """A layer and a buffer that a function of both works on."""

    def __init__(self, function):
        super().__init__()
        self.layer, self.function = nn.Linear(3, 3), function
        self.register_buffer("n", torch.full((3,), 0.5))
        self.register_buffer("late", torch.zeros(3))

    def forward(self, x):
        return self.function(self, self.layer(x))


def added(m, h):
    m.n.add_(1)
    return h + m.n


def averaged(m, h):
    m.n.copy_(m.n * 0.9 + h.mean(0) * 0.1)
    return h + m.n


def assigned(m, h):
    m.n = m.n + 1
    return h * m.n


def behind(m, h):
    h = h + m.n
    m.n.mul_(2)
    return h


def part(m, h):
    m.n[0] = h.mean()
    return h + m.n


def halved_once(m, h):
    h = h + m.n
    m.n.copy_(m.n.clamp(max=0.25))
    return h


def after_some_calls(m, h):
    m.n.add_(1)
    m.late.copy_(m.n > 100)
    return h * m.late


CARRIED = (added, averaged, assigned, behind, part, after_some_calls)


@pytest.mark.parametrize("function", CARRIED, ids=[f.__name__ for f in CARRIED])
def test_what_depends_on_earlier_calls_is_refused(function):
    """Computed from a buffer alone, it would be folded into a constant of the first call."""
    with pytest.raises(CaptureError, match="keeps state from call to call in buffer") as error:
        capture(Buffered(function).eval(), (torch.randn(2, 3),))
    assert "test_state.py" in str(error.value.where)


def test_a_buffer_of_two_names_that_is_written_is_refused():
    """torch.export itself gives up here."""

    def twice(m, h):
        m.n.add_(1)
        return h + m.twin

    model = Buffered(twice)
    model.twin = model.n
    with pytest.raises(CaptureError, match="cannot capture the model"):
        capture(model.eval(), (torch.randn(2, 3),))


def whole(m, h):
    m.n[:] = h[0]
    return h + m.n


def unread(m, h):
    m.n.copy_(m.n * 0.9 + h.mean(0) * 0.1)
    return h * 2


@pytest.mark.parametrize("function", [whole, unread])
def test_what_depends_on_one_call_alone_is_captured(function):
    model = Buffered(function).eval()
    program = capture(model, (torch.randn(2, 3),))
    assert "@n" not in program.text()
    for _ in range(2):
        x = torch.randn(2, 3)
        torch.testing.assert_close(program(x), model(x))


def moved(m, h):
    m.n = m.n.to(h.device).contiguous()
    return h * m.n


def typed(m, h):
    m.n = m.n.type_as(h)
    return h * m.n


def filled(m, h):
    m.n.fill_(2.0)
    return h * m.n


@pytest.mark.parametrize("function", [moved, typed, filled])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_buffer_that_holds_what_is_written_to_it_is_a_constant(function, dtype):
    model = Buffered(function).eval()
    model.n = model.n.to(dtype)
    if function is moved:
        model.layer.to(dtype)
    program = capture(model, (torch.randn(2, 3, dtype=model.layer.weight.dtype),))
    for _ in range(2):
        x = torch.randn(2, 3, dtype=model.layer.weight.dtype)
        torch.testing.assert_close(program(x), model(x))


def test_a_constant_that_is_written_behind_what_reads_it_is_refused():
    with pytest.raises(CaptureError):
        capture(Buffered(halved_once).eval(), (torch.randn(2, 3),))
