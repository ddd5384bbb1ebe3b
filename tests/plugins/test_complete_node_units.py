from __future__ import annotations

import pytest
import torch
from rewrite_plugins.calibrate import Calibrate
from rewrite_plugins.complete_node_units import CompleteNodeUnits
from rewrite_plugins.insert_quantizers import InsertQuantizers
from torch import nn

from rewrite.testing import check_declines, check_pass

from .models import Call, captured, context, lines, ops, outcome, randn, run

PASS = CompleteNodeUnits()
X = randn(2, 3, 4, 4)
PAIR = ["rewrite.quantize", "rewrite.dequantize"]


def conv(inside: int = 3, outside: int = 3) -> nn.Module:
    return nn.Conv2d(inside, outside, 1)


def quantized(model: nn.Module, target: str = "qnn", x: torch.Tensor = X):
    settings = context([(x,)], name=target)
    return run(captured(model, x), InsertQuantizers(), Calibrate(), context=settings)


def wide(inside: int = 16) -> nn.Module:
    return nn.Conv2d(inside, 16, 1)


def layout(x):
    return x.permute(0, 2, 3, 1).reshape(2, -1)


def test_it_follows_a_dequantizer_down():
    program = quantized(Call(lambda m, x: layout(m.a(x)), a=conv()), "portable")
    done = check_pass(PASS, program, rewrites=2, context=context())
    tail = ops(done)[-6:]
    assert tail == ["permute", *PAIR, "reshape", *PAIR]


def test_it_follows_a_quantizer_up():
    model = Call(lambda m, x: m.a(layout(torch.tanh(x))), a=nn.Linear(48, 8))
    program = quantized(model, "portable")
    done = check_pass(PASS, program, rewrites=2, context=context())
    assert ops(done)[:9] == ["tanh", *PAIR, "permute", *PAIR, "reshape", *PAIR]


def test_a_pool_over_space_becomes_a_pool_and_a_layout():
    model = Call(lambda m, x: m.b(m.a(x).mean((2, 3))), a=conv(), b=nn.Linear(3, 2))
    done = check_pass(PASS, quantized(model), rewrites=2, context=context(name="qnn"))
    place = ops(done).index("mean")
    assert ops(done)[place : place + 6] == ["mean", *PAIR, "reshape", *PAIR]


def test_a_concat_and_its_inputs_get_one_scale():
    model = Call(lambda m, x: m.c(torch.cat([m.a(x), m.b(x)], 1)), a=wide(), b=wide(), c=wide(32))
    x = randn(2, 16, 4, 4)
    done = check_pass(PASS, quantized(model, "tensorrt", x), rewrites=1, context=context())
    place = ops(done).index("cat")
    assert ops(done)[place - 4 : place + 3] == [*PAIR, *PAIR, "cat", *PAIR]
    scales = [line.split("@qdq.")[1].split(".")[0] for line in lines(done) if "e(%" in line]
    assert scales[-6:] == ["cat_activation"] * 6


@pytest.mark.parametrize("name", ["portable", "qnn"])
def test_a_second_run_does_nothing(name):
    model = Call(lambda m, x: layout(m.a(x)), a=conv())
    once = run(quantized(model, name), PASS)
    assert outcome(once, PASS).rewrites == 0


def test_other_kinds_are_left_alone():
    program = quantized(Call(lambda m, x: layout(m.a(x)), a=conv()), "portable")
    assert outcome(program, CompleteNodeUnits(of=("concat",))).rewrites == 0


def test_a_float_program_is_left_alone():
    program = captured(Call(lambda m, x: layout(m.a(x)), a=conv()), X)
    check_declines(PASS, program, reason="every operator has its quantizers", context=context())


def test_a_layout_that_is_read_in_float_is_not_quantized():
    """One of its readers is a quantizer, the other is an output."""
    model = Call(lambda m, x: (lambda y: (m.a(y), y))(layout(x)), a=nn.Linear(48, 8))
    program = quantized(model, "portable")
    assert outcome(program, PASS).rewrites == 0
