from __future__ import annotations

import torch
from rewrite_plugins.remove_dead_code import RemoveDeadCode
from torch import nn

from rewrite import Emitter
from rewrite.testing import check_declines, check_pass

from .models import GOLDEN, Call, captured, ops, randn

REMOVE = RemoveDeadCode()
aten = torch.ops.aten


def with_dead_chain():
    """Return a program with relu → linear behind its input, read by nobody."""
    program = captured(nn.Sequential(nn.Linear(4, 3)), randn(2, 4))
    emit = Emitter(program)
    live = next(n for n in program.graph.nodes if n.op == "call_function")
    weight = emit.weight(randn(5, 4), source="dead.weight", recipe=("test",))
    relu = emit.call(aten.relu.default, like=live, self=program.inputs()[0])
    emit.call(aten.linear.default, like=live, input=relu, weight=weight)
    return program


def test_a_dead_chain_goes_at_once_with_its_weights():
    program = with_dead_chain()
    assert ops(program) == ["relu", "linear", "linear"]
    program = check_pass(REMOVE, program, rewrites=3, golden=GOLDEN / "remove-dead-code.txt")
    assert [name for name, _ in program.used_weights()] == ["0.weight", "0.bias"]


def test_weights_that_no_call_reads_go():
    program = captured(nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)), randn(2, 4, 3, 3))
    names = {name for name, _ in program.used_weights()}
    assert "1.num_batches_tracked" in names
    program = check_pass(REMOVE, program)
    assert {name for name, _ in program.used_weights()} == names - {"1.num_batches_tracked"}


def test_unused_inputs_and_results_that_are_returned_stay():
    model = Call(lambda m, x, unused: (x, x.relu(), 3))
    program = check_declines(REMOVE, model, (randn(2), randn(3)), "every call is used")
    assert [n.name for n in program.inputs()] == ["inputs_0", "inputs_1"]


def test_what_is_written_to_an_input_is_no_effect():
    """A model gets copies of its inputs: nobody sees what it writes there."""

    def forward(m, x):
        x.add_(1)
        return x.relu()

    program = captured(Call(forward), randn(2))
    assert "copy_" not in program.text()
    check_declines(REMOVE, program, reason="every call is used")
