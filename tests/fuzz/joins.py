"""Joins and their opposite, of like and unlike scale."""

from __future__ import annotations

from .builder import Builder, Skip, Value
from .registry import step


def _alike(b: Builder, x: Value, but: int) -> Value:
    """Choose a value that fits beside another along one dimension."""

    def fits(v: Value) -> bool:
        return all(
            a == c
            for t, s in zip(v.tensors, x.tensors, strict=True)
            for i, (a, c) in enumerate(zip(t.shape, s.shape, strict=True))
            if i != but
        )

    return b.pick(x.rank, fits)


@step("joins")
def cat(b: Builder):
    x = b.pick((2, 3, 4))
    place = b.rng.randrange(x.rank)
    y = _alike(b, x, place)
    scale = b.choose("", "", f" * {b.number()}", " * 30", " / 50")
    third = b.choose("", "", f", {x.name}", f", torch.sigmoid({x.name})")
    b.call(f"torch.cat([{x.name}, {y.name}{scale}{third}], {place - b.choose(0, x.rank)})", x, y)


@step("joins")
def stack(b: Builder):
    x = b.pick((1, 2, 3))
    y = _alike(b, x, -1)
    b.call(f"torch.stack([{x.name}, {y.name}, {x.name} * 2], {b.choose(0, 1, -1)})", x, y)


@step("joins")
def split_and_join(b: Builder):
    x = b.pick((2, 3, 4), lambda v: any(d and d % 2 == 0 for d in v.dims))
    place = b.choose(*[i for i, d in enumerate(x.dims) if d and d % 2 == 0])
    n, half = x.name, b.channels(x, place) // 2
    way = b.choose(
        f"{n}.chunk(2, {place})", f"{n}.split({half}, {place})", f"{n}.tensor_split(2, {place})"
    )
    join = b.choose(
        f"torch.cat([q, p], {place})",
        "p * q",
        "p + torch.sigmoid(q)",
        f"torch.cat([p, q * 20], {place})",
    )
    b.block([f"p, q = {way}", f"{{0}} = {join}"], [x])


@step("joins")
def split(b: Builder):
    x = b.pick((2, 3, 4), lambda v: any(d and d >= 3 for d in v.dims))
    place = b.choose(*[i for i, d in enumerate(x.dims) if d and d >= 3])
    size = b.channels(x, place)
    b.block([f"{{0}}, {{1}} = {x.name}.split([1, {size - 1}], {place})"], [x], makes=2)


@step("joins")
def unbind(b: Builder):
    x = b.pick((2, 3, 4), lambda v: any(d == 2 for d in v.dims))
    b.block([f"{{0}}, {{1}} = {x.name}.unbind({x.dims.index(2)})"], [x], makes=2)


@step("joins")
def branches(b: Builder):
    """Two layers of one value, of unlike scale, joined in front of a third."""
    x = b.pick(4)
    c = b.channels(x, 1)
    names = [b.fresh("m") for _ in range(3)]
    init = [f"self.{n} = nn.Conv2d({c}, 4, 1)" for n in names[:2]]
    init.append(f"self.{names[2]} = nn.Conv2d(8, 4, 3, padding=1)")
    scale = b.choose(1, 10, 100)
    p = b.choose("torch.sigmoid", "torch.relu", "F.softplus")
    lines = [
        f"p, q = {p}(self.{names[0]}({x.name})), self.{names[1]}({x.name}) * {scale}",
        f"{{0}} = self.{names[2]}(torch.cat([p, q], 1))",
    ]
    b.block(lines, [x], init)


@step("joins")
def class_token(b: Builder):
    x = b.pick(3)
    token, made = b.weight(1, 1, b.channels(x, 2))
    spread = b.choose(
        f"{token}.expand({x.name}.shape[0], -1, -1)", f"{token}.repeat({x.name}.shape[0], 1, 1)"
    )
    b.call(f"torch.cat([{spread}, {x.name}], 1)", x, init=[made])


@step("joins")
def add(b: Builder):
    x = b.pick()
    y = b.pick(x.rank, lambda v: v.dims == x.dims)
    sign = b.choose("+", "+", "-", "*", "/")
    right = f"({y.name}.abs() + 1)" if sign == "/" else y.name
    b.call(f"{x.name} {sign} {right}", x, y)


@step("joins")
def product(b: Builder):
    x = b.pick(3)
    y = b.pick(3, lambda v: [t.shape[2] for t in v.tensors] == [t.shape[2] for t in x.tensors])
    if [t.shape[0] for t in x.tensors] != [t.shape[0] for t in y.tensors]:
        raise Skip("batches")
    code = b.choose(
        f"{x.name} @ {y.name}.transpose(1, 2)",
        f"torch.bmm({x.name}, {y.name}.mT)",
        f"torch.einsum('bic,bjc->bij', {x.name}, {y.name})",
    )
    b.call(f"0.3 * ({code})", x, y)


@step("joins")
def grid(b: Builder):
    """Two coordinates of each place, beside a map."""
    x = b.pick(4)
    n = x.name
    lines = [
        f"h, w = {n}.shape[-2:]",
        "p = torch.linspace(-1, 1, w).expand(h, w)"
        if b.chance(0.5)
        else "p = torch.arange(w).float().expand(h, w)",
        "q = torch.arange(h, dtype=torch.float32)[:, None].expand(h, w)",
        f"{{0}} = torch.cat([{n}, torch.stack([p, q]).expand({n}.shape[0], -1, -1, -1)], 1)",
    ]
    b.block(lines, [x])
