import pytest
import torch

from rewrite.canonical.layer_norm import LAYER_NORM_RULES

from .programs import BATCH, Call, canonical, ops, randn, reasons

X = (randn(3, 5, 6, 8),)
DYNAMIC = {"inputs": (BATCH,)}
G, B = randn(8, seed=1), randn(8, seed=2)


def _textbook(m, x):
    mean = x.mean(-1, keepdim=True)
    var = ((x - mean) ** 2).mean(-1, keepdim=True)
    return m.g * ((x - mean) / torch.sqrt(var + 1e-5)) + m.b


def _rsqrt(m, x):
    centred = x - x.mean(dim=-1, keepdim=True)
    return centred * torch.rsqrt((centred * centred).mean(-1, keepdim=True) + 1e-5) * m.g + m.b


def _biased_var(m, x):
    var = x.var(-1, keepdim=True, unbiased=False)
    return (x - x.mean(-1, keepdim=True)) / (var + 1e-5) ** 0.5 * m.g + m.b


@pytest.mark.parametrize("function", [_textbook, _rsqrt, _biased_var])
def test_written_out(function):
    program = canonical(Call(function, g=G, b=B), X, DYNAMIC)
    assert ops(program) == {"layer_norm": 1}


def _channels_first(m, x):
    u = x.mean(1, keepdim=True)
    s = (x - u).pow(2).mean(1, keepdim=True)
    x = (x - u) / torch.sqrt(s + 1e-6)
    return m.g[:, None, None] * x + m.b[:, None, None]


def test_channels_first():
    program = canonical(Call(_channels_first, g=G[:5], b=B[:5]), X, DYNAMIC)
    assert ops(program) == {"permute": 2, "layer_norm": 1}


def test_an_affine_part_behind_a_norm_without_one():
    def forward(m, x):
        return torch.nn.functional.layer_norm(x, (8,)) * m.g + m.b

    assert ops(canonical(Call(forward, g=G, b=B), X, DYNAMIC)) == {"layer_norm": 1}


def _unbiased(m, x):
    return (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, keepdim=True) + 1e-5)


def _eps_outside(m, x):
    return (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-5)


def _other_dims(m, x):
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt((centred**2).mean((-1, -2), keepdim=True) + 1e-5)


def _read_twice(m, x):
    norm = torch.nn.functional.layer_norm(x, (8,))
    return norm * m.g, norm


def _places_added(m, x):
    return torch.nn.functional.layer_norm(x, (8,)) + torch.arange(8)


def _second_affine(m, x):
    return torch.nn.functional.layer_norm(x, (8,), m.g, m.b) * m.g


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (_unbiased, "the variance is the unbiased one"),
        (_eps_outside, "outside the root"),
        (_other_dims, "no variance over the same dimensions"),
        (_read_twice, "read without it as well"),
        (_second_affine, "has its affine part already"),
        (_places_added, "by a weight of the normalised dimensions"),
    ],
)
def test_declines(function, reason):
    module = Call(function, g=G, b=B)
    found = reasons(LAYER_NORM_RULES, module, X)
    assert any(reason in f for f in found), found
    canonical(module, X, DYNAMIC)
