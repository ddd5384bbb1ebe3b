from __future__ import annotations

import pytest
import torch
from rewrite_plugins.calibrate import Calibrate
from rewrite_plugins.insert_quantizers import InsertQuantizers
from rewrite_plugins.lay_out_linear import LayOutLinear
from torch import nn
from torch.export import Dim
from torch.nn import functional

from rewrite.testing import check_declines, check_pass

from .models import GOLDEN, Call, captured, context, ops, randn, read_weights, run, target

SHAPES = {2: (3, 4), 3: (2, 3, 4), 4: (2, 3, 2, 4)}
GEMM, MATMUL = LayOutLinear(form="gemm"), LayOutLinear(form="matmul")


def linear(bias: bool = True) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5, bias=bias))


@pytest.mark.parametrize("form", ["gemm", "matmul"])
@pytest.mark.parametrize("rank", [1, 2, 3, 4])
@pytest.mark.parametrize("bias", [True, False])
def test_both_forms(form, rank, bias):
    x = randn(*SHAPES.get(rank, (4,)))
    golden = GOLDEN / f"lay-out-linear-{form}-{rank}d{'' if bias else '-no-bias'}.txt"
    program = check_pass(LayOutLinear(form=form), linear(bias), (x,), rewrites=1, golden=golden)
    assert program.weight("0.weight_1").shape == (4, 5)
    assert program.weight("0.weight_1").is_contiguous()


@pytest.mark.parametrize("form", ["gemm", "matmul"])
def test_sizes_may_be_dynamic(form):
    shapes = {"input": {0: Dim("batch", min=1, max=64), 1: Dim("length", min=2, max=64)}}
    golden = GOLDEN / f"lay-out-linear-{form}-dynamic.txt"
    check_pass(
        LayOutLinear(form=form), linear(), (randn(2, 3, 4),), dynamic_shapes=shapes, golden=golden
    )


def test_a_weight_that_an_embedding_shares_stays_as_it_was():
    torch.manual_seed(0)
    model = Call(
        lambda m, ids: m.head(m.embed(ids)), embed=nn.Embedding(7, 4), head=nn.Linear(4, 7)
    )
    model.head.weight = model.embed.weight
    program = check_pass(GEMM, model, (torch.tensor([[0, 3, 6]]),), rewrites=1)
    shared, _, laid_out = read_weights(program)
    assert torch.equal(program.weight(shared), model.embed.weight)
    assert torch.equal(program.weight(laid_out), model.embed.weight.t())


def test_layers_that_share_a_weight_share_the_new_one():
    torch.manual_seed(0)
    model = Call(lambda m, x: m.one(m.one(x)), one=nn.Linear(4, 4))
    program = check_pass(GEMM, model, (randn(3, 4),), rewrites=2)
    assert read_weights(program) == ["one.bias", "one.weight_1"]


def test_numbers_are_those_of_before():
    model = linear()
    program = check_pass(GEMM, model, (randn(3, 4),))
    assert torch.equal(program.weight("0.weight_1"), model[0].weight.t())


def quantized(settings):
    """Return a program whose linear layer has an int8 weight and an int32 bias."""
    program = captured(linear(), randn(2, 3, 4))
    return run(program, InsertQuantizers(), Calibrate(), context=settings)


@pytest.mark.parametrize("form", ["gemm", "matmul"])
def test_quantized_weights_keep_their_integers_and_their_scale_per_channel(form):
    settings = context([(randn(2, 3, 4),)])
    program = quantized(settings)
    golden = GOLDEN / f"lay-out-linear-{form}-int8.txt"
    after = check_pass(
        LayOutLinear(form=form), program, rewrites=1, golden=golden, context=settings
    )
    integers, rows = program.weight("0.weight_int8"), after.weight("0.weight_int8_1")
    assert rows.dtype == torch.int8
    assert torch.equal(rows, integers.t())
    assert "axis=1" in after.text()


def test_a_weight_that_is_quantized_at_run_time_declines():
    settings = context([(randn(2, 3, 4),)])
    settings.target = target("portable", **{"per-channel = true": "per-channel = false"})
    program = quantized(settings)
    assert "quantize(@0.weight," in program.text()
    check_declines(GEMM, program, reason="its weight is computed at run time", context=settings)


def test_a_computed_weight_declines():
    model = Call(lambda m, x, w: functional.linear(x, w * 2))
    inputs = (randn(3, 4), randn(5, 4))
    check_declines(GEMM, model, inputs, "its weight is computed at run time")


def test_a_vector_for_a_weight_declines():
    model = Call(lambda m, x: functional.linear(x, m.w), w=randn(4))
    check_declines(GEMM, model, (randn(3, 4),), "its weight is a vector")


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize(("inside", "outside"), [(0, 4), (4, 0)])
def test_a_weight_without_elements_stays(inside, outside):
    reason = "its weight has no elements"
    check_declines(GEMM, nn.Linear(inside, outside), (randn(2, 3, inside),), reason)


def test_a_program_without_linear_layers_says_so():
    check_declines(GEMM, nn.ReLU(), (randn(2),), "the program has no linear")


def test_the_products_are_what_the_form_says():
    assert ops(check_pass(MATMUL, linear(), (randn(2, 3, 4),))) == ["matmul", "add"]
    assert ops(check_pass(GEMM, linear(), (randn(2, 3, 4),))) == ["reshape", "addmm", "reshape"]
