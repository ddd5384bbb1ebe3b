from __future__ import annotations

import pytest
import torch
from rewrite_plugins.calibrate import Calibrate
from rewrite_plugins.insert_quantizers import InsertQuantizers
from rewrite_plugins.merge_equal_scales import MergeEqualScales
from torch import nn

from rewrite.testing import check_declines, check_pass

from .models import captured, context, lines, outcome, randn, run

MERGE = MergeEqualScales()
X = randn(3, 4)


def quantized(model: nn.Module, name: str):
    settings = context([(X,)], name=name)
    return run(captured(model, X), InsertQuantizers(), Calibrate(), context=settings)


def test_weights_and_biases_that_are_alike_get_one_scale():
    program = quantized(nn.Linear(4, 8), "qnn")
    done = check_pass(MERGE, program, rewrites=2, context=context(name="qnn"))
    assert not any("axis=0" in line for line in lines(done))
    read = {n.target for n in done.graph.nodes if n.op == "get_attr"}
    sizes = {str(n): done.weight(str(n)).numel() for n in read if "scale" in str(n)}
    assert sizes and set(sizes.values()) == {1}


def test_channels_of_their_own_stay():
    program = quantized(nn.Linear(4, 8), "portable")
    check_declines(MERGE, program, context=context())


def test_a_second_run_does_nothing():
    once = run(quantized(nn.Linear(4, 8), "qnn"), MERGE)
    assert outcome(once, MERGE).rewrites == 0


@pytest.mark.parametrize("name", ["qnn", "vitis"])
def test_values_stay(name):
    program = quantized(nn.Linear(4, 8), name)
    assert torch.equal(run(program, MERGE)(X), program(X))
