"""Functions written by hand, right and nearly right: the latter are not the former."""

from __future__ import annotations

from .builder import Builder
from .registry import step


@step("idioms")
def gelu(b: Builder):
    x = b.pick()
    n = x.name
    root = b.choose("1.4142135623730951", "1.4142", "2.0 ** 0.5", "1.5", "1.41")
    half = b.choose("0.5", "0.5", "0.51")
    one = b.choose("1.0", "1.0", "1.01")
    code = b.choose(
        f"{half} * {n} * ({one} + torch.erf({n} / {root}))",
        f"{n} * {half} * ({one} + torch.erf({n} / {root}))",
        f"{n} * ({one} + torch.erf({n} * 0.7071067811865476)) * {half}",
        f"{n} * torch.sigmoid({b.choose('1.702', '1.7')} * {n})",
    )
    b.call(code, x)


@step("idioms")
def tanh_gelu(b: Builder):
    x = b.pick()
    n = x.name
    a = b.choose("0.7978845608028654", "0.7978845608028654", "0.8", "0.79788")
    c = b.choose("0.044715", "0.044715", "0.0447", "0.05")
    cube = b.choose(f"{n} ** 3", f"torch.pow({n}, 3)", f"{n} * {n} * {n}", f"torch.pow({n}, 3.0)")
    b.call(f"0.5 * {n} * (1 + torch.tanh({a} * ({n} + {c} * {cube})))", x)


@step("idioms")
def hard_swish(b: Builder):
    x = b.pick()
    n = x.name
    three = b.choose("3", "3", "3.0", "2.9")
    six = b.choose("6", "6", "6.0", "5.9")
    code = b.choose(
        f"{n} * F.relu6({n} + {three}) / {six}",
        f"{n} * torch.clamp({n} + {three}, 0, {six}) / 6",
        f"{n} * (F.relu6({n} + {three}) * {b.choose('0.16666666666666666', '0.1667')})",
        f"F.hardtanh({n} + {three}, 0, {six}) / {six}",
        f"{n} * F.hardsigmoid({n})",
    )
    b.call(code, x)


@step("idioms")
def silu(b: Builder):
    x = b.pick()
    n = x.name
    b.call(
        b.choose(
            f"{n} * torch.sigmoid({n})",
            f"{n} / (1 + torch.exp(-{n}))",
            f"{n} * torch.sigmoid({n} + 0.01)",
            f"{n} * torch.sigmoid(-{n})",
            f"torch.sigmoid({n}).mul({n})",
            f"{n} * torch.tanh(F.softplus({n}))",
        ),
        x,
    )


@step("idioms")
def layer_norm(b: Builder):
    x = b.pick((2, 3, 4))
    n, width = x.name, b.channels(x, x.rank - 1)
    weight, made = b.weight(width)
    eps = b.choose("1e-5", "1e-6", "0.1")
    variance = b.choose(
        "(d ** 2).mean(-1, keepdim=True)",
        "d.pow(2).mean(-1, keepdim=True)",
        f"{n}.var(-1, keepdim=True, unbiased=False)",
        f"{n}.var(-1, keepdim=True)",
        "(d * d).mean(-1, keepdim=True)",
        f"({n} ** 2).mean(-1, keepdim=True)",
    )
    root = b.choose(
        f"d / torch.sqrt(s + {eps})", f"d * torch.rsqrt(s + {eps})", f"d / (s.sqrt() + {eps})"
    )
    tail = b.choose(f" * {weight}", f" * {weight} + 0.5", f" * (1 + {weight})", "")
    lines = [f"d = {n} - {n}.mean(-1, keepdim=True)", f"s = {variance}", f"{{0}} = ({root}){tail}"]
    b.block(lines, [x], [made] if tail else [])


@step("idioms")
def rms_norm(b: Builder):
    x = b.pick((2, 3))
    n, width = x.name, b.channels(x, x.rank - 1)
    weight, made = b.weight(width)
    power = b.choose(f"{n}.pow(2)", f"{n} ** 2", f"{n} * {n}", f"{n}.abs().pow(2.1)")
    root = b.choose("torch.rsqrt(s + 1e-6)", "(s + 1e-5) ** -0.5", "1 / torch.sqrt(s + 1e-6)")
    tail = b.choose(f" * {weight}", f" * (1 + {weight})", "")
    lines = [f"s = ({power}).mean(-1, keepdim=True)", f"{{0}} = {n} * {root}{tail}"]
    b.block(lines, [x], [made] if tail else [])


@step("idioms")
def group_norm(b: Builder):
    x = b.pick(4, lambda v: v.dims[1] is not None and v.dims[1] % 2 == 0)
    n = x.name
    over = b.choose("(2, 3, 4)", "(2, 3, 4)", "(3, 4)")
    lines = [
        f"g = {n}.unflatten(1, (2, -1))",
        f"m, s = g.mean({over}, keepdim=True), g.var({over}, keepdim=True, unbiased=False)",
        "{0} = ((g - m) / (s + 1e-5).sqrt()).flatten(1, 2)",
    ]
    b.block(lines, [x])


@step("idioms")
def softmax(b: Builder):
    x = b.pick((2, 3))
    n = x.name
    lines = b.choose(
        [f"e = torch.exp({n} - {n}.amax(-1, keepdim=True))", "{0} = e / e.sum(-1, keepdim=True)"],
        [f"e = torch.exp({n}.clamp(-8, 8))", "{0} = e / (e.sum(-1, keepdim=True) + 1)"],
        [f"{{0}} = torch.exp({n} - torch.logsumexp({n}, -1, keepdim=True))"],
    )
    b.block(lines, [x])


@step("idioms")
def leaky(b: Builder):
    x = b.pick()
    n = x.name
    b.call(
        b.choose(
            f"torch.maximum({n}, 0.1 * {n})",
            f"torch.where({n} > 0, {n}, 0.2 * {n})",
            f"torch.relu({n}) - 0.1 * torch.relu(-{n})",
            f"torch.where({n} > 0.1, {n}, 0.2 * {n})",
            f"{n}.clamp(min=0) + 0.25 * {n}.clamp(max=0)",
        ),
        x,
    )


@step("idioms")
def mean_pool(b: Builder):
    """A mean over tokens that a mask keeps."""
    mask = b.pick(2, kind="bool")
    x = b.pick(3, lambda v: v.dims[:2] == mask.dims)
    m = f"{mask.name}[:, :, None].float()"
    least = b.choose("1e-9", "1", "1e-3")
    b.call(f"({x.name} * {m}).sum(1) / {m}.sum(1).clamp(min={least})", x, mask)


@step("idioms")
def rotary(b: Builder):
    x = b.pick(3, lambda v: v.dims[2] is not None and v.dims[2] % 2 == 0)
    half = b.channels(x, 2) // 2
    lines = [
        f"t = torch.arange({x.size(1)}, dtype=torch.float32)",
        f"w = 1.0 / 100 ** (torch.arange({half}, dtype=torch.float32) / {half})",
        "a = torch.cat([t[:, None] * w, t[:, None] * w], -1)",
        f"r = torch.cat([-{x.name}[..., {half}:], {x.name}[..., :{half}]], -1)",
        f"{{0}} = {x.name} * a.cos() + r * a.sin()",
    ]
    b.block(lines, [x])


@step("idioms")
def shuffle(b: Builder):
    """Channels of groups change places."""
    x = b.pick(4, lambda v: v.dims[1] is not None and v.dims[1] % 2 == 0)
    n, c = x.name, b.channels(x, 1)
    tail = f"{n}.shape[2], {n}.shape[3]"
    b.call(
        f"{n}.view({x.size(0)}, 2, {c // 2}, {tail}).transpose(1, 2)"
        f".reshape({x.size(0)}, {c}, {tail})",
        x,
    )


@step("idioms")
def similarity(b: Builder):
    x = b.pick((2, 3))
    y = b.pick(x.rank, lambda v: v.dims == x.dims)
    b.call(
        b.choose(
            f"F.cosine_similarity({x.name}, {y.name}, dim=-1)",
            f"({x.name} - {y.name}).norm(dim=-1)",
            f"F.pairwise_distance({x.name}, {y.name})",
            f"(F.normalize({x.name}, dim=-1) * {y.name}).sum(-1)",
        ),
        x,
        y,
    )
