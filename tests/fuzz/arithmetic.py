"""Numbers, vectors and comparisons beside a value."""

from __future__ import annotations

from .builder import Builder
from .registry import step


@step("arithmetic")
def with_number(b: Builder):
    x = b.pick()
    n, v = x.name, b.number()
    b.call(
        b.choose(
            f"{n} + {v}",
            f"{n} * {v}",
            f"{n} - {v}",
            f"{v} - {n}",
            f"{n} / {v}",
            f"-{n}",
            f"{v} / ({n}.abs() + 1)",
            f"{n} ** 2",
            f"{n} ** 3",
            f"torch.rsub({n}, {v}, alpha=2)",
            f"torch.add({n}, {n}, alpha={v})",
            f"{n} * 1.0 + 0",
        ),
        x,
    )


@step("arithmetic")
def with_vector(b: Builder):
    x = b.pick((2, 3, 4))
    weight, made = b.weight(b.channels(x, x.rank - 1))
    b.call(
        b.choose(f"{x.name} * {weight}", f"{x.name} + {weight}", f"{weight} - {x.name}"),
        x,
        init=[made],
    )


@step("arithmetic")
def with_channels(b: Builder):
    x = b.pick(4)
    weight, made = b.weight(b.channels(x, 1), 1, 1)
    b.call(
        b.choose(
            f"{x.name} * {weight}", f"{x.name} + {weight}", f"{x.name} / ({weight}.abs() + 1)"
        ),
        x,
        init=[made],
    )


@step("arithmetic")
def extremes(b: Builder):
    x = b.pick()
    y = b.pick(x.rank, lambda v: v.dims == x.dims)
    name = b.choose("maximum", "minimum", "fmax", "fmin", "hypot", "atan2", "logaddexp", "copysign")
    b.call(f"torch.{name}({x.name}, {y.name})", x, y)


@step("arithmetic")
def outer(b: Builder):
    x = b.pick(2)
    b.call(
        b.choose(
            f"{x.name}[:, :, None] * {x.name}[:, None]",
            f"{x.name}[:, :, None] - {x.name}[:, None, :]",
            f"torch.cdist({x.name}, {x.name} + 1)",
        ),
        x,
    )


@step("arithmetic")
def constant(b: Builder):
    """What is computed from weights alone."""
    x = b.pick((2, 3))
    width = b.channels(x, x.rank - 1)
    weight, made = b.weight(width)
    b.call(
        b.choose(
            f"{x.name} * torch.softmax({weight}, 0)",
            f"{x.name} * (1 + {weight}.tanh()) + {weight}.mean()",
            f"{x.name} @ torch.diag({weight})",
        ),
        x,
        init=[made],
    )


@step("arithmetic")
def cast(b: Builder):
    x = b.pick()
    b.call(
        b.choose(
            f"{x.name}.double().float()",
            f"{x.name}.to(torch.float32) * 1",
            f"{x.name}.type_as({x.name})",
            f"({x.name}.double() * 0.1).float()",
        ),
        x,
    )
