"""What reads the sizes of values."""

from __future__ import annotations

from .builder import Builder
from .registry import step


@step("sizes")
def by_size(b: Builder):
    x = b.pick((2, 3, 4))
    n, d = x.name, b.rng.randrange(x.rank)
    b.call(
        b.choose(
            f"{n} / {n}.shape[{d}]",
            f"{n} * {n}.shape[{d}] ** -0.5",
            f"{n} + {n}.size({d}) * 0.1",
            f"{n}.sum({d}, keepdim=True) / {n}.size({d})",
            f"{n} / {n}[0].numel()",
        ),
        x,
    )


@step("sizes")
def half(b: Builder):
    x = b.pick((2, 3, 4), lambda v: v.least(v.rank - 1) >= 2)
    n = x.name
    b.call(b.choose(f"{n}[..., : {n}.shape[-1] // 2]", f"{n}[..., {n}.shape[-1] // 2 :]"), x)


@step("sizes")
def half_of_rows(b: Builder):
    x = b.pick((3, 4), lambda v: v.least(1) >= 2)
    n = x.name
    b.call(b.choose(f"{n}[:, : {n}.shape[1] // 2]", f"{n}[:, {n}.shape[1] // 2 :]"), x)


@step("sizes")
def made_of_sizes(b: Builder):
    x = b.pick((2, 3))
    n = x.name
    b.call(
        b.choose(
            f"{n} + torch.arange({n}.shape[-1])",
            f"{n} + torch.linspace(0, 1, {n}.shape[-1])",
            f"{n} * torch.ones({n}.shape[1], {n}.shape[-1]) if {n}.dim() == 3 else {n} * 2",
            f"{n} + torch.zeros({n}.shape)",
            f"torch.cat([{n}, torch.full(({n}.shape[0], *{n}.shape[1:]), 0.5)], 1)",
            f"{n} + torch.eye({n}.shape[-1])[0]",
        ),
        x,
    )


@step("sizes")
def merged(b: Builder):
    """Batch and tokens become one, and two again."""
    x = b.pick(3)
    width = b.channels(x, 2)
    name = b.fresh("m")
    n = x.name
    init = [f"self.{name} = nn.Linear({width}, 4)"]
    b.call(
        f"self.{name}({n}.reshape(-1, {width})).view({n}.shape[0], {n}.shape[1], -1)", x, init=init
    )


@step("sizes")
def padded_to_multiple(b: Builder):
    x = b.pick(4)
    n = x.name
    lines = [
        f"t = F.pad({n}, (0, -{n}.shape[3] % 4, 0, -{n}.shape[2] % 4))",
        "t = F.avg_pool2d(t, 4)" if b.chance(0.5) else "t = F.max_pool2d(t, 2)",
        "{0} = t",
    ]
    b.block(lines, [x])


@step("sizes")
def cropped(b: Builder):
    x = b.pick(4)
    n = x.name
    c = b.channels(x, 1)
    name = b.fresh("m")
    init = [f"self.{name} = nn.ConvTranspose2d({c}, {c}, 3, stride=2)"]
    lines = [
        f"t = self.{name}({n}[:, :, ::2, ::2])",
        f"{{0}} = t[..., : {n}.shape[2], : {n}.shape[3]]",
    ]
    b.block(lines, [x], init)
