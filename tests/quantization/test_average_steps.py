"""An average has no finer steps than what it is taken over."""

from __future__ import annotations

from importlib import resources

import pytest
import torch
from torch import nn

from rewrite import Emitter, Target, capture, is_call
from rewrite.quantization.average_steps import least_ranges
from rewrite.quantization.freeze import freeze
from rewrite.quantization.markers import OBSERVE, QUANTIZE
from rewrite.schema import argument

aten = torch.ops.aten
STEP = 0.5
"""Of the map that is averaged: 255 steps from 0 to 127.5."""


class Mean(nn.Module):
    def forward(self, x):
        return torch.relu(x).mean((2, 3))


def target(name: str) -> Target:
    text = (resources.files("rewrite_plugins") / "targets" / "portable.toml").read_text()
    return Target.parse(text, name)


def marked(around: bool = True):
    """Return mean(relu(x)) over 4 × 5 with a mark behind the mean, and one in front of it."""
    program = capture(Mean().eval(), (torch.rand(2, 3, 4, 5),))
    emit = Emitter(program)
    relu, mean = (n for n in program.graph.nodes if n.op == "call_function")
    for node, group in ((relu, "map"), (mean, "mean"))[0 if around else 1 :]:
        mark = emit.call(OBSERVE, like=node, after=node, x=node, spec="activation", group=group)
        emit.redirect(node, mark)
    return program


def scale_behind(program, bounds) -> float:
    freeze(program, target("portable"), bounds)
    mean = next(n for n in program.graph.nodes if is_call(n, aten.mean.dim))
    quantized = next(user for user in mean.users if user.target is QUANTIZE)
    return float(program.weight(argument(quantized, "scale").target))


@pytest.mark.parametrize(
    ("high", "scale"),
    [(1e-9, STEP / 20), (255 * STEP / 20, STEP / 20), (255.0, 1.0)],
)
def test_a_mean_of_20_is_no_finer_than_a_20th(high, scale):
    made = scale_behind(marked(), {"map": (0.0, 255 * STEP), "mean": (0.0, high)})
    assert made == pytest.approx(scale)


def test_a_mean_of_floats_is_as_fine_as_it_was_seen():
    program = marked(around=False)
    assert least_ranges(program, target("portable"), {"mean": (0.0, 1e-3)}) == {}
    assert scale_behind(program, {"mean": (0.0, 255e-3)}) == pytest.approx(1e-3)


def test_what_else_has_the_scale_keeps_its_steps():
    """A group of the mean and of the map it is taken over: as fine as it was seen."""
    program = marked()
    for mark in (n for n in program.graph.nodes if n.target is OBSERVE):
        Emitter(program).set_arguments(mark, group="both")
    assert least_ranges(program, target("portable"), {"both": (0.0, 1.0)}) == {}


def test_nothing_is_lost_beside_the_map():
    """Means of integers at one scale are exact at a count-th of it."""
    program = marked()
    freeze(program, target("portable"), {"map": (0.0, 255 * STEP), "mean": (0.0, 1e-9)})
    x = (torch.randint(0, 2, (2, 3, 4, 5)) * STEP).float()
    torch.testing.assert_close(program(x), x.mean((2, 3)))
