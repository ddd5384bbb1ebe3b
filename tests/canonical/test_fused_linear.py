import pytest
import torch
from torch import nn
from torch.nn.functional import linear

from rewrite.canonical.fused_linear import FusedLinear

from .programs import BATCH, Call, canonical, ops, randn, reasons

X = (randn(3, 5, 8),)
DYNAMIC = {"inputs": ({**BATCH, 1: torch.export.Dim("tokens", min=2, max=32)},)}
SPLITTING = ("split_with_sizes", "unbind", "select", "slice", "getitem", "squeeze")


def _vision(m, x):
    b, n, _ = x.shape
    qkv = linear(x, m.w, m.b).reshape(b, n, 3, 2, 4).permute(2, 0, 3, 1, 4)
    return qkv.unbind(0)


def _indexed(m, x):
    b, n, _ = x.shape
    qkv = linear(x, m.w, m.b).reshape(b, n, 3, 2, 4).permute(2, 0, 3, 1, 4)
    return qkv[0], qkv[1], qkv[2]


def _interleaved(m, x):
    b, n, _ = x.shape
    qkv = linear(x, m.w, m.b).view(b, n, 2, 3, 4)
    return qkv[..., 0, :], qkv[..., 1, :], qkv[..., 2, :]


def _per_head(m, x):
    b, n, _ = x.shape
    return linear(x, m.w, m.b).view(b, n, 2, 12).transpose(1, 2).chunk(3, -1)


def _split(m, x):
    return linear(x, m.w, m.b).split(8, dim=2)


def _uneven(m, x):
    return linear(x, m.w, m.b).split([4, 12, 8], dim=-1)


def _sliced(m, x):
    y = linear(x, m.w)
    return y[..., :8], y[..., 8:16], y[..., 16:]


@pytest.mark.parametrize(
    "function", [_vision, _indexed, _interleaved, _per_head, _split, _uneven, _sliced]
)
def test_a_fused_linear_becomes_three(function):
    program = canonical(Call(function, w=randn(24, 8), b=randn(24)), X, DYNAMIC)
    found = ops(program)
    assert found["linear"] == 3
    assert not any(found[name] for name in SPLITTING)
    assert sum(t.numel() for _, t in program.used_weights() if t.dim() == 2) == 24 * 8


def test_multi_head_attention_module():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            return self.attention(x, x, x, need_weights=False)[0]

    program = canonical(Block(), X, {"x": DYNAMIC["inputs"][0]})
    assert ops(program)["linear"] == 4
    assert ops(program)["scaled_dot_product_attention"] == 1
    assert not any(ops(program)[name] for name in SPLITTING)


def _whole(m, x):
    y = linear(x, m.w, m.b)
    return (*y.split(8, -1), y)


def _rotary(m, x):
    q = linear(x, m.w, m.b).reshape(*x.shape[:2], 2, 12)
    return q[..., :6], q[..., 6:]


def _heads(m, x):
    return linear(x, m.w, m.b).reshape(*x.shape[:2], 6, 4).unbind(2)


def _overlap(m, x):
    y = linear(x, m.w, m.b)
    return y[..., :16], y[..., 8:]


def _shared(m, x):
    q, k, v = linear(x, m.w, m.b).chunk(3, -1)
    return q + k + v, linear(x.exp(), m.w)


def _tokens(m, x):
    return linear(x, m.w, m.b).split([2, 3], 1)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (_whole, "read in several ways"),
        (_rotary, "a slice takes part of a head"),
        (_heads, "into 6 pieces, more than 4"),
        (_overlap, "its pieces overlap"),
        (_shared, "its weight is shared"),
        (_tokens, "along other dimensions than the channels"),
        (lambda m, x: linear(x, m.w, m.b).relu(), "read whole"),
        (lambda m, x: linear(x, m.w, m.b.exp()).chunk(2, -1), "its bias is computed"),
    ],
)
def test_declines(function, reason):
    found = reasons([FusedLinear()], Call(function, w=randn(24, 8), b=randn(24)), X)
    assert any(reason in f for f in found), found
