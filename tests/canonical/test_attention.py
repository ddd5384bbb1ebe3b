import math

import pytest
import torch

from rewrite.canonical.attention import EagerAttention

from .programs import BATCH, Call, canonical, ops, randn, reasons

TOKENS = torch.export.Dim("tokens", min=2, max=32)
QKV = tuple(randn(3, 2, 5, 4, seed=i) for i in range(3))
SPEC = {0: BATCH[0], 2: TOKENS}
DYNAMIC = {"inputs": (SPEC, SPEC, SPEC)}
CAUSAL = torch.full((64, 64), -math.inf).triu(1)


def _plain(m, q, k, v):
    return (q @ k.transpose(-2, -1)).softmax(-1) @ v


def _divided(m, q, k, v):
    return torch.softmax(torch.matmul(q, k.transpose(2, 3)) / 2.0, dim=3) @ v


def _scaled_query(m, q, k, v):
    return torch.softmax((q * 0.5) @ k.mT, -1) @ v


def _scaled_both(m, q, k, v):
    return torch.softmax((0.7 * q) @ (k / 1.3).mT, -1) @ v


def _biased(m, q, k, v):
    scores = q @ k.mT * 0.5 + m.bias
    return torch.softmax(scores, -1, dtype=torch.float32).to(q.dtype) @ v


def _scaled_after_bias(m, q, k, v):
    return torch.softmax((m.bias + q @ k.mT) * 0.5, -1) @ v


def _two_masks(m, q, k, v):
    n = q.shape[2]
    return torch.softmax(q @ k.mT * 0.5 + m.bias + m.causal[:n, :n], -1) @ v


def _kept(m, q, k, v):
    keep = (q[:, :1, :, :1] > -9) & (k[:, :1, None, :, 0] > -9)
    return torch.where(keep, q @ k.mT, -math.inf).softmax(-1) @ v


def _filled(m, q, k, v):
    n = q.shape[2]
    hidden = m.causal[:n, :n] < 0
    return (q @ k.mT * 0.5).masked_fill(hidden, -math.inf).softmax(-1) @ v


@pytest.mark.parametrize(
    "function",
    [
        _plain,
        _divided,
        _scaled_query,
        _scaled_both,
        _biased,
        _scaled_after_bias,
        _two_masks,
        _kept,
        _filled,
    ],
)
def test_attention_written_out(function):
    module = Call(function, bias=randn(1, 2, 1, 1))
    module.register_buffer("causal", CAUSAL)
    found = ops(canonical(module, QKV, DYNAMIC))
    assert found["scaled_dot_product_attention"] == 1
    assert found["matmul"] == found["softmax"] == 0


def test_three_dimensional_scores_regrouped_for_the_softmax():
    def forward(m, x, mask):
        b, n, _ = x.shape
        q = x.view(b, n, 2, 4).transpose(1, 2).reshape(b * 2, n, 4)
        bias = m.slope.view(1, 2, 1).expand(b, 2, n).reshape(b * 2, 1, n)
        scores = torch.baddbmm(bias, q, q.transpose(1, 2), beta=1.0, alpha=0.5)
        weights = (scores.view(b, 2, n, -1) + mask).softmax(-1).view(b * 2, n, -1)
        return torch.bmm(weights, q).view(b, 2, n, 4)

    inputs = (randn(3, 5, 8), randn(3, 1, 5, 5))
    spec = ({0: BATCH[0], 1: TOKENS}, {0: BATCH[0], 2: TOKENS, 3: TOKENS})
    program = canonical(Call(forward, slope=randn(2)), inputs, {"inputs": spec})
    assert ops(program)["scaled_dot_product_attention"] == 1
    assert ops(program)["matmul"] == 0
    text = next(line for line in program.text().splitlines() if "scaled_dot" in line)
    assert text.endswith("f32[batch, 2, tokens, 4]")


def _returns_weights(m, q, k, v):
    weights = (q @ k.mT).softmax(-1)
    return weights @ v, weights


def _returns_scores(m, q, k, v):
    scores = q @ k.mT
    return scores.softmax(-1) @ v, scores


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (_returns_weights, "the attention weights are read elsewhere as well"),
        (_returns_scores, "the scores are read elsewhere as well"),
        (lambda m, q, k, v: (q @ k.mT).softmax(-2) @ v, "does not run over the last dimension"),
        (lambda m, q, k, v: (q @ k.mT).tanh().softmax(-1) @ v, "more than a scale and masks"),
        (lambda m, q, k, v: (q @ k[:1].mT).softmax(-1) @ v, "queries and keys broadcast"),
        (lambda m, q, k, v: (q @ k.mT).softmax(-1) @ v[:1], "weights and values broadcast"),
        (
            lambda m, q, k, v: (q @ k.mT).masked_fill(m.causal[:5, :5] < 0, -1e9).softmax(-1) @ v,
            "mask with -inf, or add the mask",
        ),
        (lambda m, q, k, v: (q @ k.mT + m.vector).softmax(-1) @ v, "fewer than two dimensions"),
        (
            lambda m, q, k, v: (q @ k.mT).softmax(-1, dtype=torch.float64) @ v.double(),
            "changes the dtype",
        ),
    ],
)
def test_declines(function, reason):
    module = Call(function, vector=randn(5))
    module.register_buffer("causal", CAUSAL)
    found = reasons([EagerAttention()], module, QKV)
    assert any(reason in f for f in found), found
    canonical(module, QKV)


def test_blank_rows_are_the_one_difference():
    module = Call(_two_masks, bias=torch.zeros(1, 2, 1, 1))
    module.register_buffer("causal", torch.full((64, 64), -math.inf))
    expected = module(*QKV)
    assert torch.isnan(expected).all()
