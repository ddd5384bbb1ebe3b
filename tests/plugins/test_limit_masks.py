"""What masks add is limited where softmaxes alone see it."""

from __future__ import annotations

import pytest
import torch
from rewrite_plugins.expand_attention import ExpandAttention
from rewrite_plugins.limit_masks import LimitMasks
from torch.nn import functional as F

from rewrite.testing import check_declines, check_pass

from .models import GOLDEN, Call, captured, randn, run

LIMIT = LimitMasks()
SCORES = randn(2, 3, 4, 4)
SEEN = torch.rand(2, 1, 1, 4, generator=torch.Generator().manual_seed(0)) > 0.4
SEEN[..., 0] = True
HEADS = randn(2, 3, 4, 8)
LOWEST = torch.finfo(torch.float32).min
CLOSE = 1e-6
"""e^-32 is 1e-14; the rest is float32."""


def chosen(m, scores, seen):
    return torch.softmax(scores + torch.where(seen, 0.0, LOWEST).expand(2, 3, 1, 4), -1)


def given(m, scores, mask):
    return torch.softmax(scores + mask.clamp(min=LOWEST), -1)


CASES = {
    "chosen": (Call(chosen), (SCORES, SEEN)),
    "given": (Call(given), (SCORES, torch.where(SEEN, 0.0, float("-inf")))),
    "constant": (
        Call(
            lambda m, scores: torch.softmax(scores + m.mask, -1),
            mask=torch.where(SEEN[0], 0.0, LOWEST),
        ),
        (SCORES,),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_limited(case):
    model, inputs = CASES[case]
    golden = GOLDEN / f"limit-masks-{case}.txt"
    program = check_pass(LIMIT, model, inputs, rewrites=1, golden=golden)
    assert torch.allclose(program(*inputs), model(*inputs), atol=CLOSE)
    check_pass(LIMIT, program, rewrites=0)


def test_attention_hides_what_it_hid():
    model = Call(lambda m, q, seen: F.scaled_dot_product_attention(q, q, q, attn_mask=seen))
    program = run(captured(model, HEADS, SEEN), ExpandAttention())
    limited = check_pass(LIMIT, program, rewrites=1)
    assert torch.allclose(limited(HEADS, SEEN), model(HEADS, SEEN), atol=CLOSE)
    assert "-32" in limited.text() and "e+38" not in limited.text()


def test_another_number():
    model, inputs = CASES["chosen"]
    program = check_pass(LimitMasks(low=-8.0), model, inputs, rewrites=1)
    error = (program(*inputs) - model(*inputs)).abs().max()
    assert CLOSE < float(error) < 0.02


DECLINES = {
    "small": (
        Call(lambda m, x, seen: torch.softmax(x + torch.where(seen, 0.0, -1.0), -1)),
        (SCORES, SEEN),
        "it chooses no large negative number",
    ),
    "read elsewhere": (
        Call(lambda m, x, seen: x + torch.where(seen, 0.0, LOWEST)),
        (SCORES, SEEN),
        "more than the scores of a softmax read it",
    ),
    "small constant": (
        Call(lambda m, x: torch.softmax(x + m.bias, -1), bias=randn(4)),
        (SCORES,),
        "it adds no large negative number",
    ),
    "sum read elsewhere": (
        Call(lambda m, x: torch.softmax(x + m.mask, -1) + (x + m.mask).sigmoid(),
             mask=torch.tensor([0.0, LOWEST, 0.0, 0.0])),
        (SCORES,),
        "more than a softmax reads the sum",
    ),
    "clamp": (
        Call(lambda m, x, y: torch.softmax(x + y.clamp(min=-2.0), -1)),
        (SCORES, SCORES),
        "it cuts at no large negative number",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DECLINES)
def test_it_declines(case):
    model, inputs, reason = DECLINES[case]
    check_declines(LIMIT, model, inputs, reason=reason)
