"""Functions of one value."""

from __future__ import annotations

from .builder import Builder
from .registry import step

_COMMON = (
    "torch.relu({x})",
    "F.gelu({x})",
    "F.gelu({x}, approximate='tanh')",
    "F.silu({x})",
    "torch.sigmoid({x})",
    "torch.tanh({x})",
    "F.leaky_relu({x}, {n})",
    "F.hardswish({x})",
    "F.hardsigmoid({x})",
    "F.hardtanh({x}, -{n}, {n})",
    "F.relu6({x})",
    "F.elu({x}, {n})",
    "F.softplus({x})",
    "F.mish({x})",
    "torch.clamp({x}, min=-{n})",
    "torch.clamp({x}, max={n})",
)
_RARE = (
    "F.selu({x})",
    "F.celu({x}, {n})",
    "F.softsign({x})",
    "F.logsigmoid({x})",
    "F.softshrink({x}, {n})",
    "F.hardshrink({x}, {n})",
    "F.tanhshrink({x})",
    "F.threshold({x}, {n}, -{n})",
    "F.softplus({x}, beta=2, threshold=5)",
    "F.relu({x}) ** 2",
    "torch.exp(-{x}.abs())",
    "torch.expm1(-{x}.abs())",
    "torch.log1p({x}.abs())",
    "torch.log({x}.abs() + 1)",
    "torch.log2({x}.abs() + 1)",
    "torch.sqrt({x}.abs())",
    "torch.rsqrt({x} ** 2 + 1)",
    "torch.sin({x})",
    "torch.cos({x})",
    "torch.atan({x})",
    "torch.asinh({x})",
    "torch.erf({x})",
    "torch.square({x})",
    "torch.reciprocal({x}.abs() + 1)",
    "torch.nan_to_num({x})",
    "torch.sign({x})",
    "torch.sinh({x}.clamp(-3, 3))",
    "torch.cosh({x}.clamp(-3, 3))",
    "torch.acos({x}.clamp(-0.9, 0.9))",
    "torch.logit(torch.sigmoid({x}))",
    "torch.special.expit({x})",
    "torch.xlogy({x}.abs(), {x}.abs() + 1)",
    "torch.frac({x})",
    "torch.trunc({x})",
    "torch.lerp({x}, -{x}, {n})",
    "torch.pow({x}.abs() + 0.5, {n})",
    "torch.exp2(-{x}.abs())",
)


@step("activations")
def activation(b: Builder):
    x = b.pick()
    b.call(b.choose(*_COMMON).format(x=x.name, n=b.number()), x)


@step("activations")
def function(b: Builder):
    x = b.pick()
    b.call(b.choose(*_RARE).format(x=x.name, n=b.number()), x)


@step("activations")
def slopes(b: Builder):
    x = b.pick((2, 3, 4))
    b.layer(f"nn.PReLU({b.choose(1, b.channels(x, 1))})", x)


@step("activations")
def softmax(b: Builder):
    x = b.pick((2, 3, 4))
    name = b.choose("softmax", "log_softmax", "softmin")
    b.call(f"F.{name}({x.name}, dim={b.choose(-1, 1, 0)})", x)


@step("activations")
def gated(b: Builder):
    x = b.pick((2, 3, 4), lambda v: v.dims[-1] is not None and v.dims[-1] % 2 == 0)
    n = x.name
    code = b.choose(
        f"F.glu({n}, dim=-1)",
        f"{n} * torch.sigmoid({n})",
        f"{n}[..., ::2] * F.silu({n}[..., 1::2])",
        f"{n}.chunk(2, -1)[0] * F.gelu({n}.chunk(2, -1)[1])",
    )
    b.call(code, x)


@step("activations")
def squeeze_excite(b: Builder):
    x = b.pick(4)
    c = b.channels(x, 1)
    gate = b.choose("Sigmoid", "Hardsigmoid")
    name = b.fresh("m")
    init = [
        f"self.{name} = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d({c}, 4, 1), nn.ReLU(), "
        f"nn.Conv2d(4, {c}, 1), nn.{gate}())"
    ]
    b.call(f"{x.name} * self.{name}({x.name})", x, init=init)


@step("activations")
def dropped(b: Builder):
    x = b.pick()
    kind = b.choose("Dropout(0.3)", "AlphaDropout(0.2)", "Identity()", "Dropout(0.0)")
    b.layer(f"nn.{kind}", x)
