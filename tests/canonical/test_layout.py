"""Views, permutes, overloads, no-ops, equal calls, masks and padding."""

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, pad, scaled_dot_product_attention

from rewrite.canonical.casts import CAST_RULES
from rewrite.canonical.masks import MASK_RULES
from rewrite.canonical.padding import PaddedConv
from rewrite.canonical.permutes import PERMUTE_RULES
from rewrite.canonical.sizes import SIZE_RULES
from rewrite.canonical.views import VIEW_RULES

from .programs import BATCH, Call, canonical, ops, randn, reasons

X = (randn(3, 5, 8),)
DYNAMIC = {"inputs": (BATCH,)}


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda m, x: x.transpose(1, 2), {"permute": 1}),
        (lambda m, x: x.mT.mT, {}),
        (lambda m, x: x.transpose(0, 1).permute(2, 1, 0), {"permute": 1}),
        (lambda m, x: x.transpose(1, 2).permute(0, 2, 1), {}),
        (lambda m, x: x.view(-1, 4).reshape(3, 2, 20).flatten(1), {"reshape": 1}),
        (lambda m, x: x.unsqueeze(1).flatten(1), {"reshape": 1}),
        (lambda m, x: x.unsqueeze(1).transpose(1, 2).reshape(3, 40), {"reshape": 1}),
        (lambda m, x: x.contiguous().clone().detach() + 0, {}),
        (lambda m, x: nn.functional.dropout(x, 0.5, False) * 1, {}),
        (lambda m, x: pad(x, (0, 0))[:, :], {}),
        (lambda m, x: x.to(torch.float32).type_as(x).expand(-1, -1, -1), {}),
        (lambda m, x: x.softmax(2, dtype=torch.float32), {"softmax": 1}),
        (lambda m, x: x.exp() + x.exp(), {"exp": 1, "add": 1}),
        (lambda m, x: torch.rsub(x, x.exp()), {"exp": 1, "sub": 1}),
        (lambda m, x: torch.max(x, x.exp()), {"exp": 1, "maximum": 1}),
        (lambda m, x: x.long() & x.exp().long(), {"exp": 1, "_to_copy": 2, "bitwise_and": 1}),
        (lambda m, x: x.to(x.device, torch.float64), {"_to_copy": 1}),
        (lambda m, x: x.type_as(x.double()).double(), {"_to_copy": 1}),
        (lambda m, x: x.double().float(), {}),
        (lambda m, x: x.double().half(), {"_to_copy": 1}),
        (lambda m, x: x.half().float(), {"_to_copy": 2}),
        (lambda m, x: x.int().long().short(), {"_to_copy": 2}),
        (lambda m, x: x.int().float(), {"_to_copy": 2}),
        (lambda m, x: x.int().to(torch.uint16).long(), {"_to_copy": 3}),
        (lambda m, x: x.unflatten(2, (2, -1)).flatten(1, 2), {"reshape": 1}),
        (lambda m, x: x.slice_scatter(x[..., 8:] + 1, 2, 8), {}),
    ],
)
def test_one_form(function, expected):
    module = Call(lambda m, x: function(m, x) * 2)
    found = ops(canonical(module, X))
    assert found == {"mul": 1, **expected}


def test_declines_that_move_elements():
    found = reasons(VIEW_RULES, Call(lambda m, x: x.transpose(1, 2).reshape(3, 40)), X)
    assert "the permute under it moves elements" in found
    assert "it moves a dimension" in reasons(PERMUTE_RULES, Call(lambda m, x: x.mT), X)


TOKENS = {**BATCH, 1: torch.export.Dim("tokens", min=2, max=32)}


def test_two_sizes_known_at_run_time_are_read_from_the_input():
    module = Call(lambda m, x: x.exp().unflatten(2, (2, 4)))
    program = canonical(module, X, {"inputs": (TOKENS,)})
    assert ops(program) == {"exp": 1, "sym_size": 2, "reshape": 1}
    assert program.text().count("sym_size(%inputs_0") == 2


def test_one_size_known_at_run_time_is_inferred():
    module = Call(lambda m, x: x.view(x.shape[0], x.shape[1] * 4, 2))
    program = canonical(module, X, DYNAMIC)
    assert ops(program) == {"reshape": 1}
    assert "shape=[-1, 20, 2]" in program.text()


def test_a_conversion_says_what_changes_and_nothing_else():
    program = canonical(Call(lambda m, x: x.to("cpu", torch.int64, copy=True)), X)
    assert "_to_copy(%inputs_0, dtype=i64)" in program.text()


def test_an_empty_result_keeps_its_sizes():
    module = Call(lambda m, x: x[:, :0].reshape(x.shape[0], 0, 2, 4))
    assert "its result is empty" in reasons(VIEW_RULES, module, X, DYNAMIC)


def test_equal_calls_differ_by_the_type_of_a_literal():
    program = canonical(Call(lambda m, x: (x.long() + 1, x.long() + 1.0)), X)
    assert ops(program)["add"] == 2


IMAGE = (randn(2, 3, 8, 8),)


def test_zeros_padded_in_front_of_a_convolution_are_its_own():
    module = Call(lambda m, x: conv2d(pad(x, (1, 1, 2, 2)), m.w, padding=1), w=randn(4, 3, 3, 3))
    program = canonical(module, IMAGE, DYNAMIC)
    assert ops(program) == {"conv2d": 1}
    assert "padding=[3, 2]" in program.text()


@pytest.mark.parametrize(
    "padded",
    [
        lambda x: pad(x, (0, 1, 0, 1)),
        lambda x: pad(x, (1, 1, 1, 1), value=1.0),
        lambda x: pad(x, (1, 1, 1, 1), mode="reflect"),
        lambda x: pad(x, (0, 0, 0, 0, 1, 1))[:, 1:4],
    ],
)
def test_other_padding_stays(padded):
    module = Call(lambda m, x: conv2d(padded(x), m.w), w=randn(4, 3, 3, 3))
    canonical(module, IMAGE, DYNAMIC)
    assert ops(canonical(module, IMAGE))["conv2d"] == 1
    assert reasons([PaddedConv()], module, IMAGE) in (
        ["it pads unevenly, or not zeros"],
        [],
    )


QKV = tuple(randn(3, 2, 5, 4, seed=i) for i in range(3))
SPEC = {"inputs": (BATCH, BATCH, BATCH)}


@pytest.mark.parametrize(
    "mask",
    [
        lambda q: torch.ones(5, 5, dtype=torch.bool),
        lambda q: torch.zeros(1, 1, 5, 5),
        lambda q: torch.where(
            torch.ones(1, 1, 5, 1, dtype=torch.bool).expand(q.shape[0], 1, 5, 5),
            torch.tensor(0.0),
            -1e9,
        ),
    ],
)
def test_a_mask_that_masks_nothing_goes(mask):
    module = Call(lambda m, q, k, v: scaled_dot_product_attention(q, k, v, attn_mask=mask(q)))
    assert ops(canonical(module, QKV, SPEC)) == {"scaled_dot_product_attention": 1}


def test_a_mask_that_masks_stays():
    def forward(m, q, k, v):
        mask = torch.ones(5, 5, dtype=torch.bool).tril()
        return scaled_dot_product_attention(q, k, v, attn_mask=mask.expand(q.shape[0], 1, 5, 5))

    module = Call(forward)
    program = canonical(module, QKV, SPEC)
    assert [tuple(t.shape) for _, t in program.used_weights()] in ([(5, 5)], [(1, 1, 5, 5)])
    given = Call(lambda m, q, k, v: scaled_dot_product_attention(q, k, v, attn_mask=m.mask))
    given.register_buffer("mask", torch.eye(5))
    assert "it masks something" in reasons(MASK_RULES, given, QKV)


def test_a_size_that_no_input_has_is_read_where_it_is():
    found = Call(lambda m, x: x.nonzero().shape[0] + x)
    assert "no input has this size" in reasons(SIZE_RULES, found, X)
    assert "sym_size(%0, dim=0)" in canonical(found, X).text()


def test_a_conversion_in_its_form_stays():
    found = reasons(CAST_RULES, Call(lambda m, x: x.to(torch.float64) * 2), X)
    assert "it is in its one form" in found
