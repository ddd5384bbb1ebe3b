from __future__ import annotations

import math

import pytest
import torch
from rewrite_plugins.expand_attention import ExpandAttention
from torch import nn
from torch.export import Dim
from torch.nn import functional

from rewrite.testing import check_declines, check_pass

from .models import GOLDEN, Call, captured, ops, randn, read_weights

EXPAND = ExpandAttention()
TOLERANCE = 1e-5
"""Float32 products summed in another order, values near one."""
INF = math.inf


class Attention(nn.Module):
    """One call of scaled_dot_product_attention with fixed keywords."""

    def __init__(self, **keywords):
        super().__init__()
        self.keywords = keywords

    def forward(self, query, key, value, mask=None):
        return functional.scaled_dot_product_attention(query, key, value, mask, **self.keywords)


def heads(queries: int = 3, keys: int = 5, width: int = 4, lead: tuple[int, ...] = (2, 2)):
    return (
        randn(*lead, queries, width, seed=1),
        randn(*lead, keys, width, seed=2),
        randn(*lead, keys, width, seed=3),
    )


def masks() -> dict[str, torch.Tensor]:
    """Return masks of every kind; True or 0 is seen."""
    keep = randn(2, 1, 3, 5) > -0.5
    blank = keep.clone()
    blank[0, 0, 1] = False
    finite = torch.where(keep, randn(2, 1, 3, 5, seed=4), torch.finfo(torch.float32).min)
    return {
        "bool": keep,
        "bool-blank": blank,
        "finite": finite,
        "inf": torch.where(keep, 0.5, -INF),
        "inf-blank": torch.where(blank, 0.5, -INF),
    }


def agrees(model: nn.Module, program, inputs) -> None:
    """Compare in float32: the float64 check of the kit cannot see an overflow."""
    torch.testing.assert_close(program(*inputs), model(*inputs), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", ["none", "causal", *masks()])
def test_every_kind_of_mask(name):
    model = Attention(is_causal=name == "causal")
    inputs = heads() + ((masks()[name],) if name in masks() else ())
    golden = GOLDEN / f"expand-attention-{name}.txt"
    agrees(model, check_pass(EXPAND, model, inputs, rewrites=1, golden=golden), inputs)


@pytest.mark.parametrize("name", ["bool-blank", "inf-blank"])
def test_a_row_that_sees_nothing_is_zero(name):
    inputs = (*heads(), masks()[name])
    program = check_pass(EXPAND, Attention(), inputs, rewrites=1)
    assert not program(*inputs)[0, :, 1].any()
    assert program(*inputs)[0, :, 0].all()


def weight_mask(mask: torch.Tensor) -> nn.Module:
    model = Attention()
    model.register_buffer("mask", mask)
    model.forward = lambda q, k, v: functional.scaled_dot_product_attention(q, k, v, model.mask)
    return model


@pytest.mark.parametrize("name", ["bool", "inf", "finite"])
def test_a_constant_mask_that_blanks_no_row_needs_no_guard(name):
    mask = masks()[name].clone()
    mask[..., 0] = True if mask.dtype == torch.bool else 0.0
    model = weight_mask(mask)
    program = check_pass(EXPAND, model, heads(), rewrites=1)
    assert "any" not in program.text()
    agrees(model, program, heads())


@pytest.mark.parametrize("name", ["bool-blank", "inf-blank"])
def test_a_constant_mask_that_blanks_a_row_keeps_the_guard(name):
    model = weight_mask(masks()[name])
    program = check_pass(EXPAND, model, heads(), rewrites=1)
    assert "any" in program.text()
    agrees(model, program, heads())


@pytest.mark.parametrize(("queries", "keys"), [(3, 5), (5, 3), (4, 4), (1, 4)])
def test_causal_masks_count_from_the_first_query(queries, keys):
    model, inputs = Attention(is_causal=True), heads(queries, keys)
    agrees(model, check_pass(EXPAND, model, inputs, rewrites=1), inputs)


@pytest.mark.parametrize("lead", [(), (2,), (2, 2), (2, 2, 2)])
def test_any_number_of_leading_dimensions(lead):
    model, inputs = Attention(), heads(lead=lead)
    agrees(model, check_pass(EXPAND, model, inputs, rewrites=1), inputs)


@pytest.mark.parametrize("scale", [0.0, 0.3, -2.0, 1.0])
def test_a_given_scale(scale):
    model, inputs = Attention(scale=scale), heads()
    program = check_pass(EXPAND, model, inputs, rewrites=1)
    agrees(model, program, inputs)
    assert ("mul" in ops(program)) == (scale != 1.0)


@pytest.mark.parametrize("own", [1, 2])
def test_grouped_queries_repeat_keys_and_values(own):
    query, _, _ = heads(lead=(2, 4))
    _, key, value = heads(lead=(2, own))
    model, inputs = Attention(enable_gqa=True), (query, key, value)
    golden = GOLDEN / f"expand-attention-gqa{own}.txt"
    agrees(model, check_pass(EXPAND, model, inputs, rewrites=1, golden=golden), inputs)


def test_grouped_queries_of_a_dynamic_batch_and_length():
    batch, length = Dim("batch", min=1, max=64), Dim("length", min=2, max=64)
    query, _, _ = heads(5, 5, lead=(2, 4))
    _, key, value = heads(5, 5, lead=(2, 2))
    shapes = {name: {0: batch, 2: length} for name in ("query", "key", "value")}
    model = Attention(enable_gqa=True, is_causal=True)
    program = check_pass(EXPAND, model, (query, key, value), dynamic_shapes=shapes, rewrites=1)
    wide = heads(9, 9, lead=(3, 4))[:1] + heads(9, 9, lead=(3, 2))[1:]
    agrees(model, program, wide)


def test_a_mask_of_dynamic_size():
    batch, queries, keys = (Dim(n, min=2, max=64) for n in ("batch", "queries", "keys"))
    shapes = {
        "query": {0: batch, 2: queries},
        "key": {0: batch, 2: keys},
        "value": {0: batch, 2: keys},
        "mask": {0: batch, 2: queries, 3: keys},
    }
    inputs = (*heads(), masks()["bool-blank"])
    check_pass(EXPAND, Attention(), inputs, dynamic_shapes=shapes, rewrites=1)


def split(x: torch.Tensor) -> torch.Tensor:
    """Lay [batch, tokens, 8] out as [batch, 2 heads, tokens, 4]."""
    return x.view(*x.shape[:2], 2, 4).transpose(1, 2)


def layers(forward, **more: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return Call(forward, q=nn.Linear(8, 8), k=nn.Linear(8, 8), v=nn.Linear(8, 8), **more)


def attend(q, k, v):
    return functional.scaled_dot_product_attention(split(q), split(k), split(v))


def test_the_scale_goes_into_the_layer_that_makes_the_queries():
    model = layers(lambda m, x: attend(m.q(x), m.k(x), m.v(x)))
    golden = GOLDEN / "expand-attention-scale-folded.txt"
    program = check_pass(EXPAND, model, (randn(2, 3, 8),), rewrites=1, golden=golden)
    torch.testing.assert_close(program.weight("q.weight_1"), model.q.weight / 2)
    torch.testing.assert_close(program.weight("q.bias_1"), model.q.bias / 2)
    assert {"k.weight", "v.weight"} < set(read_weights(program))


def test_a_layer_whose_output_is_read_elsewhere_keeps_its_weights():
    def forward(m, x):
        query = m.q(x)
        return attend(query, m.k(x), m.v(x)), query

    program = check_pass(EXPAND, layers(forward), (randn(2, 3, 8),), rewrites=1)
    assert "mul" in ops(program)
    assert "q.weight" in read_weights(program)


def test_keys_made_by_the_layer_of_the_queries_are_not_scaled():
    model = layers(lambda m, x: attend(m.q(x), m.q(x), m.v(x)))
    program = check_pass(EXPAND, model, (randn(2, 3, 8),), rewrites=1)
    assert "mul" in ops(program)


def test_a_weight_that_queries_and_keys_share_is_not_scaled_for_both():
    model = layers(lambda m, x: attend(m.q(x), m.q(x + 1), m.v(x)))
    program = check_pass(EXPAND, model, (randn(2, 3, 8),), rewrites=1)
    assert {"q.weight", "q.weight_1"} < set(read_weights(program))


def test_the_scale_goes_into_the_rows_of_the_queries_of_a_fused_layer():
    def forward(m, x):
        q, k, v = m.qkv(x).split(8, dim=-1)
        return attend(q, k, v)

    torch.manual_seed(0)
    model = Call(forward, qkv=nn.Linear(8, 24, bias=False))
    program = check_pass(EXPAND, model, (randn(2, 3, 8),), rewrites=1)
    assert "mul" not in ops(program)
    agrees(model, program, (randn(2, 3, 8),))


def test_rotated_queries_are_scaled_where_they_are_used():
    def forward(m, x):
        query = split(m.q(x))
        query = query * 0.5 + query.roll(1, -1)
        return functional.scaled_dot_product_attention(query, split(m.k(x)), split(m.v(x)))

    program = check_pass(EXPAND, layers(forward), (randn(2, 3, 8),), rewrites=1)
    assert "q.weight" in read_weights(program)


def test_layers_share_one_mask():
    def forward(m, q, k, v, mask):
        first = functional.scaled_dot_product_attention(q, k, v, mask)
        second = functional.scaled_dot_product_attention(first, k, v, mask)
        third = functional.scaled_dot_product_attention(second, k, v, is_causal=True)
        return functional.scaled_dot_product_attention(third, k, v, is_causal=True)

    program = check_pass(EXPAND, Call(forward), (*heads(), masks()["bool"]), rewrites=4)
    assert ops(program).count("where.Scalar") + ops(program).count("where") == 2
    assert ops(program).count("any") == 1


def test_dropout_declines():
    torch.manual_seed(0)
    check_declines(EXPAND, Attention(dropout_p=0.5), heads(), "it drops out attention weights")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_mask_in_half_precision_declines(dtype):
    inputs = tuple(x.to(dtype) for x in heads())
    assert ops(check_pass(EXPAND, Attention(), inputs, rewrites=1))
    reason = f"it masks {dtype} scores, whose range has no room for a mask value"
    check_declines(EXPAND, Attention(is_causal=True), inputs, reason)


def test_a_head_size_that_is_not_constant_declines():
    width = Dim("width", min=2, max=64)
    shapes = {name: {3: width} for name in ("query", "key", "value")}
    program = captured(Attention(), *heads(), dynamic=shapes)
    check_declines(EXPAND, program, reason="its head size is not constant")


def test_numbers_of_heads_that_are_not_constant_decline():
    groups = Dim("groups", min=2, max=8)
    shapes = {"query": {1: 2 * groups}, "key": {1: groups}, "value": {1: groups}}
    query, key, value = heads(lead=(2, 6))[0], *heads(lead=(2, 3))[1:]
    program = captured(Attention(enable_gqa=True), query, key, value, dynamic=shapes)
    check_declines(EXPAND, program, reason="its numbers of heads are not constant")


def test_a_program_without_attention_says_so():
    reason = "the program has no scaled_dot_product_attention"
    check_declines(EXPAND, nn.ReLU(), (randn(2),), reason)
