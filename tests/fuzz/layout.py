"""What moves values and computes nothing."""

from __future__ import annotations

from .builder import Builder, Skip
from .registry import step


@step("layout")
def permute(b: Builder):
    x = b.pick((2, 3, 4, 5))
    order = list(range(x.rank))
    b.rng.shuffle(order)
    b.call(f"{x.name}.permute({', '.join(map(str, order))})", x)


@step("layout")
def transpose(b: Builder):
    x = b.pick((2, 3, 4))
    i, j = b.rng.sample(range(x.rank), 2)
    b.call(f"{x.name}.transpose({i}, {j - x.rank}){b.choose('', '.contiguous()')}", x)


@step("layout")
def flatten(b: Builder):
    x = b.pick((3, 4, 5))
    first = b.choose(0, 1, 1, 2) if x.rank > 3 else b.choose(0, 1)
    b.call(f"{x.name}.flatten({first})", x)


@step("layout")
def map_to_tokens(b: Builder):
    x = b.pick(4)
    b.call(f"{x.name}.flatten(2).transpose(1, 2)", x)


@step("layout")
def tokens_to_map(b: Builder):
    """Needs as many tokens as a map that is there has places."""
    x = b.pick(3)
    y = b.pick(4, lambda v: _places(v) == [t.shape[1] for t in x.tensors])
    tail = f"{y.name}.shape[2], {y.name}.shape[3]"
    b.call(f"{x.name}.transpose(1, 2).reshape({x.size(0)}, {x.size(2)}, {tail})", x, y)


def _places(value) -> list[int]:
    return [t.shape[2] * t.shape[3] for t in value.tensors]


@step("layout")
def unflatten(b: Builder):
    x = b.pick((2, 3, 4), lambda v: any(d and d % 2 == 0 for d in v.dims))
    fits = [i for i, d in enumerate(x.dims) if d and d % 2 == 0]
    place = b.choose(*fits)
    b.call(f"{x.name}.unflatten({place}, {b.choose((2, -1), (-1, 2))})", x)


@step("layout")
def reshape(b: Builder):
    x = b.pick((2, 3, 4))
    tail = b.choose(f"{x.size(0)}, -1", "-1", f"-1, {x.size(x.rank - 1)}", f"{x.size(0)}, 1, -1")
    b.call(f"{x.name}.reshape({tail})", x)


@step("layout")
def flip(b: Builder):
    x = b.pick((2, 3, 4))
    b.call(f"{x.name}.flip({b.choose(0, 1, -1)})", x)


@step("layout")
def roll(b: Builder):
    x = b.pick((3, 4))
    code = b.choose(
        f"torch.roll({x.name}, {b.choose(1, -1, 2)}, dims={b.choose(1, -1)})",
        f"torch.roll({x.name}, (1, -1), dims=(1, 2))",
        f"torch.roll({x.name}, 3)",
    )
    b.call(code, x)


@step("layout")
def shuffle_pixels(b: Builder):
    x = b.pick(4)
    if x.dims[1] is not None and x.dims[1] % 4 == 0 and b.chance(0.5):
        b.call(f"F.pixel_shuffle({x.name}, 2)", x)
        return
    if any(size is None or size % 2 for size in x.dims[2:]):
        raise Skip("odd")
    b.call(f"F.pixel_unshuffle({x.name}, 2)", x)


@step("layout")
def slices(b: Builder):
    x = b.pick((2, 3, 4))
    part = b.choose("1:", ":-1", "::2", "1::2", ":2", "-2:", "1:-1", "0")
    lead = ", ".join([":"] * b.rng.randrange(x.rank))
    b.call(f"{x.name}[{lead + ', ' if lead else ''}{part}]", x)


@step("layout")
def last_token(b: Builder):
    x = b.pick(3)
    b.call(b.choose(f"{x.name}[:, -1]", f"{x.name}[:, 0]", f"{x.name}[:, -1:]"), x)


@step("layout")
def add_dimension(b: Builder):
    x = b.pick((1, 2, 3, 4))
    place = b.choose(0, 1, -1)
    b.call(b.choose(f"{x.name}.unsqueeze({place})", f"{x.name}[..., None]", f"{x.name}[None]"), x)


@step("layout")
def squeeze(b: Builder):
    x = b.pick((2, 3, 4, 5))
    ones = [i for i, d in enumerate(x.dims) if d == 1]
    if not ones and b.chance(0.7):
        raise Skip("nothing to squeeze")
    place = b.choose(
        *ones, *ones, *ones, *[i for i, d in enumerate(x.dims) if d is not None] or [0]
    )
    b.call(f"{x.name}.squeeze({place})", x)


@step("layout")
def expand(b: Builder):
    x = b.pick((2, 3), lambda v: 1 in v.dims)
    place = x.dims.index(1)
    sizes = ["-1"] * x.rank
    sizes[place] = "3"
    b.call(f"{x.name}.expand({', '.join(sizes)})", x)


@step("layout")
def repeat(b: Builder):
    x = b.pick((2, 3), lambda v: v.tensors[0].numel() < 2000)
    times = [1] * x.rank
    times[b.rng.randrange(x.rank)] = 2
    b.call(
        b.choose(
            f"{x.name}.repeat({', '.join(map(str, times))})",
            f"{x.name}.tile({tuple(times)})",
            f"{x.name}.repeat_interleave(2, dim={b.choose(0, 1, -1)})",
        ),
        x,
    )


@step("layout")
def narrow(b: Builder):
    x = b.pick((2, 3, 4))
    place = b.rng.randrange(x.rank)
    if x.least(place) < 2:
        raise Skip("one")
    b.call(
        b.choose(
            f"{x.name}.narrow({place}, 1, {b.choose(1, x.least(place) - 1)})",
            f"{x.name}.select({place}, -1)",
        ),
        x,
    )


@step("layout")
def windows(b: Builder):
    """Windows of a map as batches, and back."""
    x = b.pick(4, lambda v: all(d is not None and d % 2 == 0 for d in v.dims[2:]))
    n, c = x.name, b.channels(x, 1)
    h, w = x.dims[2] // 2, x.dims[3] // 2
    b.call(
        f"{n}.view({x.size(0)}, {c}, {h}, 2, {w}, 2).permute(0, 2, 4, 3, 5, 1).reshape(-1, 4, {c})",
        x,
    )


@step("layout")
def moved(b: Builder):
    x = b.pick((3, 4))
    b.call(b.choose(f"{x.name}.movedim(1, -1)", f"{x.name}.movedim(-1, 1)", f"{x.name}.mT"), x)


@step("layout")
def diagonal(b: Builder):
    x = b.pick((2, 3))
    b.call(
        b.choose(
            f"{x.name}.tril({b.choose(0, 1)})",
            f"{x.name}.triu(-1)",
            f"{x.name}.diagonal(dim1=-2, dim2=-1)",
        ),
        x,
    )


@step("layout")
def act_behind_move(b: Builder):
    """A layer, its values moved, then an activation."""
    x = b.pick((2, 3))
    width = b.channels(x, x.rank - 1)
    name = b.fresh("m")
    act = b.choose("relu", "gelu", "silu", "sigmoid", "hardswish")
    move = b.choose(".transpose(-1, -2)", ".unflatten(-1, (2, 4))", ".flatten(1)", ".unsqueeze(1)")
    init = [f"self.{name} = nn.Linear({width}, 8)"]
    b.call(f"F.{act}(self.{name}({x.name}){move})", x, init=init)
