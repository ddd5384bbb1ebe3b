"""What masks add is limited where softmaxes alone see it."""

from __future__ import annotations

import math

import pytest
import torch
from rewrite_plugins.expand_attention import ExpandAttention
from rewrite_plugins.limit_masks import LimitMasks
from torch.nn import functional as F

from rewrite import argument, is_call
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


SHIFTED = SCORES - 40
"""Scores that a mask of -32 would not hide."""
NUMBERS = torch.tensor([[1, 1, 0, 1], [1, 0, 0, 0]])[:, None, None]
MADE = {
    "subtracted from one": lambda m, seen, numbers: (1.0 - seen.float()) * LOWEST,
    "of numbers": lambda m, seen, numbers: (1.0 - numbers.float()) * LOWEST,
    "spread out": lambda m, seen, numbers: torch.where(seen, 0.0, -math.inf).expand(2, 3, 4, 4),
    "beside a bias": lambda m, seen, numbers: (
        torch.where(seen, 0.0, LOWEST) + F.embedding(numbers, m.table).permute(0, 4, 1, 2, 3)[:, 0]
    ),
    "of constants": lambda m, seen, numbers: torch.where(seen, m.zero, m.lowest),
}


@pytest.mark.parametrize("case", MADE)
def test_what_is_cut_is_known_to_be_a_mask(case):
    def forward(m, scores, *inputs):
        return torch.softmax(scores + MADE[case](m, *inputs).clamp(min=LOWEST), -1)

    parts = {"table": randn(9, 3), "zero": torch.zeros(()), "lowest": torch.tensor(LOWEST)}
    model, inputs = Call(forward, **parts), (SCORES, SEEN, NUMBERS)
    program = check_pass(LIMIT, model, inputs, rewrites=1)
    assert torch.allclose(program(*inputs), model(*inputs), atol=CLOSE)
    (cut,) = (n for n in program.graph.nodes if is_call(n, torch.ops.aten.clamp.default))
    assert argument(cut, "min") == -32


def test_a_choice_beside_a_bias_that_is_known():
    model = Call(
        lambda m, scores, seen: torch.softmax(scores + torch.where(seen, m.bias, LOWEST), -1),
        bias=torch.tensor([3.0, -15.0, 0.0, 1.0]),
    )
    program = check_pass(LIMIT, model, (SCORES, SEEN), rewrites=1)
    assert torch.allclose(program(SCORES, SEEN), model(SCORES, SEEN), atol=CLOSE)


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
    "scores that are hidden": (
        Call(lambda m, x, seen: torch.softmax(torch.where(seen, x, -1e9) + m.bias, -1),
             bias=randn(4)),
        (SHIFTED, SEEN),
        "what it chooses otherwise is not known to be near 0",
    ),
    "bias as low as what hides": (
        Call(lambda m, x, seen: torch.softmax(x + torch.where(seen, m.bias, -1e9), -1),
             bias=torch.tensor([0.0, -20.0, 0.0, 0.0])),
        (SCORES, SEEN),
        "what it chooses otherwise is not known to be near 0",
    ),
    "scores that are cut": (
        Call(lambda m, x: torch.softmax(x.clamp(min=-5e4) + m.bias, -1), bias=randn(4)),
        (SHIFTED,),
        "what it cuts is not known to be a mask",
    ),
    "scores near 0 that are cut": (
        Call(lambda m, x: torch.softmax(x.clamp(min=-5e4) + m.bias, -1), bias=randn(4)),
        (SCORES,),
        "what it cuts is not known to be a mask",
    ),
    "scores made and cut": (
        Call(lambda m, x: torch.softmax((x @ x).clamp(min=LOWEST) + m.bias, -1), bias=randn(4)),
        (SCORES,),
        "what it cuts is not known to be a mask",
    ),
    "share of a mask": (
        Call(lambda m, x, seen: torch.softmax(x + ((1 - seen.float()) * -90.).clamp(min=-1e9), -1)),
        (SCORES, SEEN),
        "what it cuts is not known to be a mask",
    ),
    "mask of the other sign": (
        Call(lambda m, x, seen: torch.softmax(x + (seen * LOWEST * -1.).clamp(min=-1e9), -1)),
        (SCORES, SEEN),
        "what it cuts is not known to be a mask",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DECLINES)
def test_it_declines(case):
    model, inputs, reason = DECLINES[case]
    check_declines(LIMIT, model, inputs, reason=reason)
