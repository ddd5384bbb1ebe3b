"""Reductions, scans and orders."""

from __future__ import annotations

from .builder import Builder
from .registry import step

_OVER_ONE = (
    "{x}.mean({d}, keepdim={k})",
    "{x}.sum({d}, keepdim={k})",
    "{x}.amax({d}, keepdim={k})",
    "{x}.amin({d}, keepdim={k})",
    "{x}.max({d}, keepdim={k}).values",
    "{x}.min({d}, keepdim={k})[0]",
    "{x}.norm(dim={d}, keepdim={k})",
    "{x}.norm(p=1, dim={d}, keepdim={k})",
    "torch.logsumexp({x}, {d}, keepdim={k})",
    "{x}.tanh().prod({d}, keepdim={k})",
    "{x}.var({d}, keepdim={k}, unbiased=False)",
    "{x}.std({d}, keepdim={k}, unbiased=False)",
    "torch.linalg.vector_norm({x}, dim={d}, keepdim={k})",
    "torch.count_nonzero({x} > 0, {d}).float()",
    "({x} > 0.5).any({d}, keepdim={k}).float()",
    "({x} > -2).all({d}, keepdim={k}).float()",
)
_SCANS = (
    "torch.cumsum({x}, {d})",
    "torch.cumprod({x}.tanh(), {d})",
    "torch.cummax({x}, {d}).values",
    "torch.cummin({x}, {d})[0]",
    "torch.sort({x}, {d})[0]",
    "torch.sort({x}, {d}, descending=True).values",
    "torch.diff({x}, dim={d})",
    "{x} - {x}.mean({d}, keepdim=True)",
    "{x} / {x}.abs().amax({d}, keepdim=True).clamp(min=1e-3)",
    "torch.logcumsumexp({x}, {d})",
)
_PLACES = (
    "{x}.argmax({d}, keepdim={k})",
    "{x}.argmin({d}, keepdim={k})",
    "torch.argsort({x}, {d})",
    "torch.sort({x}, {d}, descending=True)[1]",
    "{x}.max({d}).indices",
)


@step("reductions")
def reduce(b: Builder):
    x = b.pick((1, 2, 3, 4))
    d = b.choose(-1, 0, x.rank - 1, 1 if x.rank > 1 else 0)
    b.call(b.choose(*_OVER_ONE).format(x=x.name, d=d, k=b.chance(0.5)), x)


@step("reductions")
def unbiased(b: Builder):
    x = b.pick((2, 3, 4), lambda v: min(t.shape[-1] for t in v.tensors) > 1)
    name = b.choose("var", "std")
    b.call(
        b.choose(
            f"{x.name}.{name}(-1)",
            f"{x.name}.{name}(-1, keepdim=True, correction=1)",
            f"torch.{name}_mean({x.name}, -1)[0]",
        ),
        x,
    )


@step("reductions")
def reduce_several(b: Builder):
    x = b.pick((3, 4))
    dims = tuple(sorted(b.rng.sample(range(x.rank), 2)))
    name = b.choose("mean", "sum", "amax", "amin")
    b.call(f"{x.name}.{name}(dim={dims}, keepdim={b.chance(0.5)})", x)


@step("reductions")
def reduce_all(b: Builder):
    x = b.pick((1, 2, 3))
    code = b.choose(
        "{x}.mean()", "{x}.sum() / 50", "{x}.amax()", "{x}.max()", "{x}.norm()", "{x}.min()"
    )
    b.call(f"{x.name} + {code.format(x=x.name)}", x)


@step("reductions")
def scan(b: Builder):
    x = b.pick((1, 2, 3))
    d = b.choose(-1, 0, x.rank - 1)
    b.call(b.choose(*_SCANS).format(x=x.name, d=d), x)


@step("reductions")
def places(b: Builder):
    x = b.pick((2, 3))
    b.call(b.choose(*_PLACES).format(x=x.name, d=b.choose(-1, 1), k=b.chance(0.5)), x)


@step("reductions")
def best(b: Builder):
    x = b.pick((2, 3), lambda v: v.least(v.rank - 1) >= 2)
    largest = b.chance(0.8)
    b.block([f"{{0}}, {{1}} = {x.name}.topk(2, dim=-1, largest={largest})"], [x], makes=2)


@step("reductions")
def best_rows(b: Builder):
    """Rows of the best scores, gathered."""
    x = b.pick(3, lambda v: v.least(1) >= 2)
    lines = [
        f"i = {x.name}.mean(-1).topk(2, dim=1).indices",
        f"{{0}} = {x.name}.gather(1, i[:, :, None].expand(-1, -1, {x.size(2)}))",
    ]
    b.block(lines, [x])


@step("reductions")
def median(b: Builder):
    x = b.pick((2, 3))
    b.call(b.choose(f"{x.name}.median(-1).values", f"{x.name}.kthvalue(1, -1).values"), x)


@step("reductions")
def histogram(b: Builder):
    x = b.pick((2, 3))
    edges = "torch.tensor([-1.0, 0.0, 1.0])"
    b.call(
        b.choose(f"torch.bucketize({x.name}, {edges})", f"torch.searchsorted({edges}, {x.name})"), x
    )
