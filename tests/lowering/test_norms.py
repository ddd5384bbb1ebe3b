"""Norms of small values that come from integers keep their epsilon on OpenVINO."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from rewrite.capture import capture
from rewrite.lowering.lower import lower
from rewrite.runtimes import get_runtime

from .models import quantized, seven_bits, written

pytest.importorskip("openvino")
AVOIDS = ("norm-of-integers",)


class Small(nn.Module):
    """A convolution whose small results a norm and a layer read."""

    def __init__(self, size: float, positive: bool = True):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 1)
        self.norm, self.act = nn.GroupNorm(2, 8), nn.ReLU() if positive else nn.Tanh()
        with torch.no_grad():
            self.stem.weight.mul_(size)
            self.stem.bias.mul_(size)

    def forward(self, x):
        y = self.act(self.stem(x))
        return self.head(y), self.norm(y)


class Scaled(nn.Module):
    """A norm of a value times a constant, beside a quantized layer that reads the value too."""

    def __init__(self, between: Callable[[torch.Tensor], torch.Tensor], factor: float):
        super().__init__()
        self.between, self.factor = between, factor
        self.head, self.norm = nn.Linear(8, 8), nn.LayerNorm(8)

    def forward(self, x):
        y = x * self.factor
        return self.head(y), self.norm(self.between(y))


class Sums(nn.Module):
    """An instance norm of a convolution without a bias, of small values."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, bias=False), nn.InstanceNorm2d(8)

    def forward(self, x):
        return self.norm(self.stem(x))


TOKENS = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
IMAGE = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def small(size: float, positive: bool = True):
    torch.manual_seed(0)
    program = quantized(Small(size, positive), IMAGE, target=seven_bits("openvino"))
    return program, lower(program, 20, {}, {}, AVOIDS)


def held(lowered) -> int:
    return sum(node.name.endswith("_held") for node in lowered.model.graph if node.name)


def test_norms_of_small_values_are_held(tmp_path):
    program, lowered = small(0.01)
    assert held(lowered) == 1
    loaded = get_runtime("openvino").load(written(lowered, tmp_path), threads=1)
    for x in (IMAGE, IMAGE.flip(0) * 0.9):
        expected = program(x)[1].detach()
        found = torch.from_numpy(list(loaded.run({"x": x.numpy()}).values())[1])
        noise = ((found - expected).norm() / expected.norm()).item()
        assert noise < 0.03


@pytest.mark.parametrize(("size", "positive"), [(10.0, True), (0.01, False)])
def test_norms_of_large_values_and_behind_zero_points_are_left_alone(size, positive):
    _, lowered = small(size, positive)
    assert held(lowered) == 0


def holds(program, lowered, folder, inputs, place, floor):
    """Compare an output of the file on OpenVINO with the program's."""
    loaded = get_runtime("openvino").load(written(lowered, folder), threads=1)
    for x in inputs:
        outputs = program(x)
        expected = (outputs if isinstance(outputs, tuple) else (outputs,))[place].detach()
        found = torch.from_numpy(list(loaded.run({"x": x.numpy()}).values())[place])
        assert ((found - expected).norm() / expected.norm()).item() < floor


@pytest.mark.parametrize(
    ("between", "factor"),
    [
        (lambda y: y, 0.3),
        (lambda y: y[:, 1:4], -0.5),
        (lambda y: y.transpose(0, 1).relu(), 0.3),
        (lambda y: y.mean(1), 0.2),
    ],
)
def test_norms_of_what_is_multiplied_by_a_number_are_held(between, factor, tmp_path):
    """The example's values are a thousand times larger: it would not tell."""
    torch.manual_seed(0)
    program = quantized(Scaled(between, factor), TOKENS, target=seven_bits("openvino"))
    lowered = lower(program, 20, {}, {}, AVOIDS)
    assert held(lowered) == 1
    holds(program, lowered, tmp_path, (TOKENS, TOKENS * 3e-3), 1, 1e-4)


def test_norms_of_what_is_multiplied_in_a_float_file_are_left_alone():
    program = capture(Scaled(lambda y: y, 0.3).eval(), (TOKENS,))
    assert held(lower(program, 20, {}, {}, AVOIDS)) == 0


def test_norms_of_small_sums_without_a_bias_are_held(tmp_path):
    torch.manual_seed(0)
    image = IMAGE * 1e-4
    program = quantized(Sums(), image, target=seven_bits("openvino"))
    lowered = lower(program, 20, {}, {}, AVOIDS)
    assert held(lowered) == 1
    holds(program, lowered, tmp_path, (image, image.flip(0)), 0, 0.03)


def test_norms_of_usual_sums_are_left_alone():
    torch.manual_seed(0)
    program = quantized(Sums(), IMAGE, target=seven_bits("openvino"))
    assert held(lower(program, 20, {}, {}, AVOIDS)) == 0
