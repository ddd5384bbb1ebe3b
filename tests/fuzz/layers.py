"""Convolutions of all dimensions, transposed ones, and linear layers."""

from __future__ import annotations

from .builder import Builder, Skip
from .registry import step

_MODES = ("zeros", "zeros", "zeros", "reflect", "replicate", "circular")


def _divisor(b: Builder, *sizes: int) -> int:
    fits = [n for n in (1, 2, 3, 4, 6, 8) if all(size % n == 0 for size in sizes)]
    return b.choose(*fits)


@step("layers")
def conv(b: Builder):
    x = b.pick((3, 4, 5))
    n, channels = x.rank - 2, b.channels(x, 1)
    out = b.choose(1, 4, 6, 8)
    groups = b.choose(1, 1, _divisor(b, channels, out))
    kernel = b.choose(1, 2, 3, 3, 5) if n < 3 else b.choose(1, 2, 3)
    padding = b.choose(0, kernel // 2, 1, kernel // 2)
    padding = min(padding, kernel - 1)
    stride = b.choose(1, 1, 2, kernel)
    dilation = b.choose(1, 1, 1, 2)
    mode = b.choose(*_MODES) if padding else "zeros"
    pads = repr(b.choose("same", "valid")) if stride == 1 and b.chance(0.2) else str(padding)
    b.layer(
        f"nn.Conv{n}d({channels}, {out}, {kernel}, stride={stride}, padding={pads}, "
        f'dilation={dilation}, groups={groups}, bias={b.chance(0.7)}, padding_mode="{mode}")',
        x,
    )


@step("layers")
def conv_uneven(b: Builder):
    x = b.pick(4)
    channels, out = b.channels(x, 1), b.choose(3, 5)
    kernel = b.choose((1, 3), (3, 1), (2, 3), (1, 5))
    stride, padding = b.choose((1, 2), (2, 1), (1, 1)), b.choose((0, 1), (1, 0), (0, 0), (1, 2))
    padding = tuple(min(p, k) for p, k in zip(padding, kernel, strict=True))
    b.layer(f"nn.Conv2d({channels}, {out}, {kernel}, stride={stride}, padding={padding})", x)


@step("layers")
def depthwise(b: Builder):
    x = b.pick((3, 4))
    n, channels = x.rank - 2, b.channels(x, 1)
    times, kernel = b.choose(1, 1, 2), b.choose(3, 5)
    b.layer(
        f"nn.Conv{n}d({channels}, {channels * times}, {kernel}, padding={kernel // 2}, "
        f"groups={channels}, bias={b.chance(0.7)})",
        x,
    )


@step("layers")
def conv_transposed(b: Builder):
    x = b.pick((3, 4, 5), lambda v: v.tensors[0].numel() < 3000)
    n, channels = x.rank - 2, b.channels(x, 1)
    out = b.choose(2, 4, 6)
    groups = b.choose(1, 1, _divisor(b, channels, out))
    stride = b.choose(1, 2, 2, 3)
    kernel = b.choose(stride, 2 * stride, 3, 2)
    padding = b.choose(0, 0, 1) if kernel > 1 else 0
    more = b.choose(0, 0, 1) if stride > 1 else 0
    dilation = b.choose(1, 1, 1, 2)
    b.layer(
        f"nn.ConvTranspose{n}d({channels}, {out}, {kernel}, stride={stride}, padding={padding}, "
        f"output_padding={more}, groups={groups}, dilation={dilation}, bias={b.chance(0.7)})",
        x,
    )


@step("layers")
def linear(b: Builder):
    x = b.pick((1, 2, 3, 4, 5))
    width = b.channels(x, x.rank - 1)
    b.layer(f"nn.Linear({width}, {b.choose(1, 4, 6, 8, 12)}, bias={b.chance(0.7)})", x)


@step("layers")
def mlp(b: Builder):
    x = b.pick((2, 3, 4))
    width = b.channels(x, x.rank - 1)
    act = b.choose("ReLU", "GELU", "SiLU", "Tanh", "Hardswish", "LeakyReLU", "ReLU6", "PReLU")
    hidden = 2 * width
    b.layer(
        f"nn.Sequential(nn.Linear({width}, {hidden}), nn.{act}(), nn.Linear({hidden}, {width}))", x
    )


@step("layers")
def bilinear(b: Builder):
    x = b.pick((2, 3))
    width = b.channels(x, x.rank - 1)
    b.layer(f"nn.Bilinear({width}, {width}, 4)", x, x)


@step("layers")
def functional_conv(b: Builder):
    x = b.pick(4)
    channels = b.channels(x, 1)
    weight, made = b.weight(4, channels, 3, 3, scale=0.3)
    b.call(f"F.conv2d({x.name}, {weight}, padding={b.choose(0, 1, 2)})", x, init=[made])


@step("layers")
def product_with_weight(b: Builder):
    x = b.pick((2, 3, 4))
    width = b.channels(x, x.rank - 1)
    weight, made = b.weight(width, 6, scale=0.3)
    code = b.choose(
        f"{x.name} @ {weight}",
        f"torch.matmul({x.name}, {weight}) + 0.5",
        f"torch.einsum('...i,io->...o', {x.name}, {weight})",
        f"({weight}.t() @ {x.name}.transpose(-1, -2)).transpose(-1, -2)",
        f"torch.tensordot({x.name}, {weight}, dims=1)",
    )
    b.call(code, x, init=[made])


@step("layers")
def weight_normed(b: Builder):
    x = b.pick((2, 3))
    width = b.channels(x, x.rank - 1)
    b.layer(f"nn.utils.parametrizations.weight_norm(nn.Linear({width}, 5))", x)


@step("layers")
def strided_stem(b: Builder):
    x = b.pick(4, lambda v: v.made_by == "input" and min(v.least(2), v.least(3)) >= 4)
    if x.dims[1] not in (1, 3, 4) or (None in x.dims[2:] and b.chance(0.8)):
        raise Skip("no image of whole blocks")
    channels, kernel = b.channels(x, 1), b.choose(2, 3, 4, 7)
    stride = b.choose(2, 2, 4)
    if kernel < stride:
        raise Skip("holes")
    b.layer(f"nn.Conv2d({channels}, 8, {kernel}, stride={stride}, padding={kernel // 2})", x)


@step("layers")
def residual(b: Builder):
    x = b.pick(4)
    channels = b.channels(x, 1)
    name, act = b.fresh("m"), b.choose("torch.relu", "F.silu", "F.gelu", "F.hardswish")
    init = [
        f"self.{name} = nn.Sequential(nn.Conv2d({channels}, {channels}, 3, padding=1, bias=False),"
        f" nn.BatchNorm2d({channels}))"
    ]
    b.call(f"{act}({x.name} + self.{name}({x.name}))", x, init=init)


@step("layers")
def scaled_layer(b: Builder):
    """A layer with a factor behind it: of a number, of channels, learnt."""
    x = b.pick(4)
    channels = b.channels(x, 1)
    name = b.fresh("m")
    init = [f"self.{name} = nn.Conv2d({channels}, 6, {b.choose(1, 3)}, padding=0)"]
    factor, made = b.weight(6, 1, 1)
    code = b.choose(
        f"self.{name}({x.name}) * {b.number()}",
        f"self.{name}({x.name}) * {factor}",
        f"self.{name}({x.name}) / {b.number()}",
        f"{b.number()} * self.{name}({x.name}) + {factor}",
    )
    b.call(code, x, init=[*init, made] if factor in code else init)


@step("layers")
def large_linear(b: Builder):
    """Weights large enough to be worth storing in fewer bits."""
    x = b.pick((2, 3))
    width = b.channels(x, x.rank - 1)
    b.layer(
        f"nn.Sequential(nn.Linear({width}, 64), nn.ReLU(), nn.Linear(64, 64), nn.GELU(), "
        f"nn.Linear(64, 6))",
        x,
    )
