"""Integer and truth values."""

from __future__ import annotations

from .builder import Builder
from .registry import step

_INTEGERS = (
    "{x} + 3",
    "{x} * 2 - 1",
    "{x} // 2",
    "{x} % 3",
    "-{x} // 3",
    "(-{x}) % 5",
    "torch.div({x}, 3, rounding_mode='trunc')",
    "torch.div({x} - 4, 3, rounding_mode='floor')",
    "torch.remainder({x} - 5, 3)",
    "torch.fmod({x} - 5, 3)",
    "{x}.clamp(1, 4)",
    "{x}.abs()",
    "{x} & 3",
    "{x} | 4",
    "{x} ^ 1",
    "{x} << 1",
    "{x} >> 1",
    "torch.where({x} > 2, {x}, 0)",
    "{x}.cumsum(-1)",
    "{x}.to(torch.int32) * 2",
    "{x}.flip(-1)",
    "{x}.sum(-1)",
    "torch.maximum({x}, {x}.flip(-1))",
    "{x} ** 2",
    "({x} > 2).long()",
    "({x} > 2).cumsum(-1)",
    "{x}.sort(-1).values",
    "torch.bitwise_not({x})",
)
_TO_FLOATS = (
    "{x}.float()",
    "{x} / 3",
    "{x} * 0.5",
    "{x}.float().log1p()",
    "{x}.to(torch.float32) - 1.5",
    "torch.sqrt({x}.abs())",
    "torch.true_divide({x}, 4)",
    "{x}.float().mean(-1, keepdim=True)",
    "torch.sin({x})",
)
_TRUTHS = (
    "{x} > {n}",
    "{x} <= 0",
    "({x} > 0) & ({x} < {n})",
    "({x} > {n}) | ({x} < -{n})",
    "~({x} > 0)",
    "({x} > 0) ^ ({x} > {n})",
    "torch.logical_not({x} > {n})",
    "torch.isfinite({x})",
    "torch.eq(torch.sign({x}), 1.0)",
)
_OF_FLOATS = (
    "({x} * 4).round().long()",
    "{x}.floor().int()",
    "{x}.ceil().to(torch.int64)",
    "{x}.to(torch.int32)",
    "torch.trunc({x} * 3).long()",
    "torch.div({x}, 0.5, rounding_mode='floor')",
    "torch.remainder({x}, 0.75)",
    "torch.fmod({x}, 0.75)",
    "{x} // 0.5",
    "{x} % 1.5",
    "torch.round({x}, decimals=1)",
)


@step("integers")
def integers(b: Builder):
    x = b.pick((1, 2, 3), kind="int")
    b.call(b.choose(*_INTEGERS).format(x=x.name), x)


@step("integers")
def to_floats(b: Builder):
    x = b.pick((1, 2, 3), kind="int")
    b.call(b.choose(*_TO_FLOATS).format(x=x.name), x)


@step("integers")
def of_floats(b: Builder):
    x = b.pick((1, 2, 3))
    b.call(b.choose(*_OF_FLOATS).format(x=x.name), x)


@step("integers")
def truths(b: Builder):
    x = b.pick((1, 2, 3))
    b.call(b.choose(*_TRUTHS).format(x=x.name, n=b.number()), x)


@step("integers")
def truth_to_float(b: Builder):
    x = b.pick(kind="bool")
    b.call(
        b.choose(
            f"{x.name}.float()", f"{x.name} * 2.0", f"{x.name}.sum(-1)", f"1 - {x.name}.float()"
        ),
        x,
    )


@step("integers")
def choice(b: Builder):
    x = b.pick((2, 3, 4))
    n, v = x.name, b.number()
    b.call(
        b.choose(
            f"torch.where({n} > 0, {n}, {v})",
            f"torch.where({n} > {v}, {v}, -{n})",
            f"{n}.masked_fill({n} < -{v}, -{v})",
            f"torch.where({n} > 0, torch.exp(-{n}), 1 + {n})",
            f"{n} * ({n} > {v})",
            f"{n} * ({n} > {v}).float()",
        ),
        x,
    )


@step("integers")
def masked(b: Builder):
    m = b.pick(2, kind="bool")
    x = b.pick(3, lambda v: v.dims[:2] == m.dims)
    b.call(
        b.choose(
            f"{x.name} * {m.name}[..., None]",
            f"{x.name}.masked_fill(~{m.name}[..., None], 0.0)",
            f"torch.where({m.name}.unsqueeze(-1), {x.name}, -1.0)",
        ),
        x,
        m,
    )
