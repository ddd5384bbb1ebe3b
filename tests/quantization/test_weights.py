"""Weights and biases frozen: the axis of scales, the type and the scale of a bias."""

from __future__ import annotations

import pytest
import torch
from rewrite_plugins.calibrate import Calibrate
from rewrite_plugins.calibrators.min_max import MinMax
from rewrite_plugins.insert_quantizers import InsertQuantizers
from torch import nn

from rewrite import Context, Target, capture
from rewrite.equivalence import difference
from rewrite.pipeline import run_passes
from rewrite.quantization.kinds import is_weight
from rewrite.quantization.markers import DEQUANTIZE
from rewrite.quantization.weights import Channels, channels
from rewrite.schema import argument

TARGET = """
name = "test"
bias = "{bias}"
[spec.activation]
dtype = "int8"
symmetric = true
power-of-two = {shifts}
[spec.weight]
dtype = "int8"
symmetric = true
per-channel = true
alike = {alike}
power-of-two = {shifts}
[op.conv]
inputs = {{ input = "activation", weight = "weight" }}
[op.conv-transpose]
inputs = {{ input = "activation", weight = "weight" }}
[op.linear]
inputs = {{ input = "activation", weight = "weight" }}
"""


def quantized(model: nn.Module, x: torch.Tensor, bias="int32", shifts=False, alike=False):
    text = TARGET.format(bias=bias, shifts=str(shifts).lower(), alike=str(alike).lower())
    context = Context(
        target=Target.parse(text),
        calibration=lambda: iter([(x,)]),
        calibrators={"min-max": MinMax},
    )
    return run_passes(
        capture(model.eval(), (x,)), (InsertQuantizers(), Calibrate()), context
    ).program


def stored(program, name: str):
    """Return (integers, scale, axis) of what was stored for a weight."""
    (node,) = [
        n
        for n in program.graph.nodes
        if n.target is DEQUANTIZE
        and is_weight(argument(n, "x"))
        and str(argument(n, "x").target).startswith(f"{name}_int")
    ]
    parts = (program.weight(str(argument(node, part).target)) for part in ("x", "scale"))
    return (*parts, argument(node, "axis"))


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def seeded(layer: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    layer.reset_parameters()
    return nn.Sequential(layer).eval()


TRANSPOSED = {
    "1-D": (nn.ConvTranspose1d(4, 6, 3), randn(2, 4, 5)),
    "2-D": (nn.ConvTranspose2d(4, 6, 3, stride=2), randn(2, 4, 5, 5)),
    "3-D": (nn.ConvTranspose3d(4, 6, 2), randn(2, 4, 3, 3, 3)),
}


@pytest.mark.parametrize("case", TRANSPOSED)
def test_scales_of_a_transposed_convolution_run_along_its_outputs(case):
    layer, x = TRANSPOSED[case]
    torch.manual_seed(0)
    layer.reset_parameters()
    with torch.no_grad():
        # Very different outputs, so that one scale for each input would round the weak ones to 0.
        layer.weight.mul_(10.0 ** -torch.arange(6).reshape(6, *[1] * (x.dim() - 2)))
    model = nn.Sequential(layer).eval()
    program = quantized(model, x)
    integers, scale, axis = stored(program, "0.weight")
    assert axis == 1 and scale.shape == (6,)
    assert integers.abs().amax([0, *range(2, x.dim())]).tolist() == [127] * 6
    assert stored(program, "0.bias")[0].dtype == torch.int32
    assert difference([(model(x), program(x))]).sqnr_db > 35


def test_a_transposed_convolution_of_groups_has_one_scale():
    model, x = seeded(nn.ConvTranspose2d(4, 6, 3, groups=2)), randn(2, 4, 5, 5)
    program = quantized(model, x)
    _, scale, axis = stored(program, "0.weight")
    bias, step, bias_axis = stored(program, "0.bias")
    assert axis is bias_axis is None and scale.shape == step.shape == ()
    assert bias.dtype == torch.int32
    assert difference([(model(x), program(x))]).sqnr_db > 35


class Tied(nn.Module):
    """A decoder that turns the convolution of its encoder around."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.down, self.up = nn.Conv2d(4, 4, 3), nn.ConvTranspose2d(4, 4, 3)
        self.up.weight = self.down.weight

    def forward(self, x):
        return self.up(self.down(x))


def test_a_weight_whose_readers_have_other_axes_has_one_scale():
    model, x = Tied().eval(), randn(2, 4, 6, 6)
    program = quantized(model, x)
    _, scale, axis = stored(program, "down.weight")
    assert axis is None and scale.shape == ()
    assert difference([(model(x), program(x))]).sqnr_db > 30


def weak_channel() -> nn.Module:
    """Return a layer one of whose channels has a bias far beyond its weights."""
    layer = nn.Linear(4, 3)
    with torch.no_grad():
        layer.weight.copy_(randn(3, 4))
        layer.weight[0] *= 100
        layer.weight[1] *= 1e-9
        layer.bias[1] = 3.0
    return nn.Sequential(layer).eval()


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("bias", ["int32", "int8"])
def test_scales_stay_powers_of_two_where_a_bias_would_not_fit(bias, alike):
    program = quantized(weak_channel(), randn(8, 4), bias, shifts=True, alike=alike)
    integers, scale, _ = stored(program, "0.weight")
    assert (torch.frexp(scale)[0] == 0.5).all()
    assert len(scale.unique()) == (1 if alike else 3)
    assert integers[1].abs().max() == 0
    values, step, _ = stored(program, "0.bias")
    assert (torch.frexp(step)[0] == 0.5).all()
    assert float(values[1] * step.expand(3)[1]) == pytest.approx(3.0, rel=0.01)


@pytest.mark.parametrize("shifts", [False, True])
def test_int8_biases_have_one_scale_that_is_no_finer_than_the_sum(shifts):
    model, x = seeded(nn.Linear(16, 8)), randn(8, 16)
    program = quantized(model, x, "int8", shifts=shifts)
    values, step, axis = stored(program, "0.bias")
    assert values.dtype == torch.int8 and step.shape == () and axis is None
    assert 64 <= values.abs().max() <= 127
    assert shifts == bool((torch.frexp(step)[0] == 0.5).all())
    error = (values * step - model[0].bias.detach()).abs().max()
    assert float(error) <= float(step) / 2 * (1 + 1e-5)


def test_an_int8_bias_that_hardly_counts_has_the_scale_of_the_sum():
    model, x = seeded(nn.Linear(16, 8)), randn(8, 16)
    with torch.no_grad():
        model[0].bias *= 1e-6
    program = quantized(model, x, "int8", shifts=True)
    _, step, _ = stored(program, "0.bias")
    _, weight, _ = stored(program, "0.weight")
    source = next(n for n in program.graph.nodes if n.target is DEQUANTIZE)
    product = program.weight(str(argument(source, "scale").target)) * weight.amax()
    assert float(step) == float(product)


def test_biases_of_a_target_that_wants_them_float_stay_float():
    program = quantized(seeded(nn.Linear(16, 8)), randn(8, 16), "float32")
    assert "0.bias_" not in program.text() and "@0.bias" in program.text()


@pytest.mark.parametrize(
    ("layer", "inside", "outside", "groups"),
    [
        (nn.Conv2d(32, 8, 3), 32, 8, 1),
        (nn.Conv2d(32, 8, 3, groups=4), 8, 8, 4),
        (nn.ConvTranspose2d(32, 8, 2), 32, 8, 1),
        (nn.ConvTranspose2d(8, 32, 2, groups=2), 4, 32, 2),
    ],
)
def test_channels_of_a_layer(layer, inside, outside, groups):
    x = torch.randn(1, layer.in_channels, 4, 4)
    (call,) = [n for n in capture(layer.eval(), (x,)).graph.nodes if n.op == "call_function"]
    assert channels(call) == Channels(inside, outside, groups)
