import pytest
import torch

from rewrite.canonical.rms_norm import RMS_NORM_RULES

from .programs import BATCH, Call, canonical, ops, randn, reasons

X = (randn(3, 5, 8),)
DYNAMIC = {"inputs": (BATCH,)}


def _llama(m, x):
    wide = x.to(torch.float32)
    wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
    return m.w * wide.to(x.dtype)


def _divided(m, x):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-6) * m.w


def _one_plus(m, x):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * (1.0 + m.w)


@pytest.mark.parametrize("function", [_llama, _divided])
def test_written_out(function):
    program = canonical(Call(function, w=randn(8)), X, DYNAMIC)
    assert ops(program) == {"rms_norm": 1}


def test_a_weight_that_is_computed_first():
    bound = 1e-6  # 1 + w is rounded to float32 once, as in the model
    program = canonical(Call(_one_plus, w=randn(8)), X, DYNAMIC, bound=bound)
    assert ops(program) == {"rms_norm": 1}


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (
            lambda m, x: x * torch.rsqrt(x.pow(2).mean(1, keepdim=True) + 1e-6),
            "not over the last dimensions",
        ),
        (
            lambda m, x: x * torch.rsqrt(x.exp().pow(2).mean(-1, keepdim=True) + 1e-6),
            "not the mean of its squares",
        ),
        (
            lambda m, x: x / (x.pow(2).mean(-1, keepdim=True).sqrt() + 1e-6),
            "outside the root",
        ),
        (lambda m, x: _read_twice(m, x), "read without it as well"),
    ],
)
def test_declines(function, reason):
    module = Call(function, w=randn(8))
    found = reasons(RMS_NORM_RULES, module, X)
    assert any(reason in f for f in found), found
    canonical(module, X, DYNAMIC)


def _read_twice(m, x):
    norm = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
    return norm * m.w, norm
