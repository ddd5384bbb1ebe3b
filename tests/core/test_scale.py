import torch
from torch import nn

from rewrite import Emitter, Op, Rule, arguments, capture
from rewrite.rules import apply_rules

aten = torch.ops.aten
SWEEPS = 2
"""One that rewrites, one that finds nothing more."""


class ReluTwice(Rule):
    """relu(relu(x)) = relu(x)."""

    pattern = Op(aten.relu.default, self=Op(aten.relu.default, "inner"))
    report_misses = False

    def rewrite(self, match, emit):
        return match["inner"]


def chain(length):
    program = capture(nn.Sequential(nn.Tanh(), nn.ReLU()).eval(), (torch.randn(2),))
    emit = Emitter(program)
    output = program.graph.output_node()
    calls = [n for n in program.graph.nodes if n.op == "call_function"]
    last = calls[-1]
    for _ in range(length):
        for call in (*calls, calls[-1]):
            name = next(iter(arguments(call)))
            last = emit.call(call.target, like=output, val=call.meta["val"], **{name: last})
    emit.replace_use(output, calls[-1], last)
    return program


def test_rules_are_tried_a_constant_number_of_times_per_call():
    tries = []
    for length in (100, 400):
        outcome = apply_rules(chain(length), [ReluTwice()])
        assert outcome.rewrites == length
        tries.append(outcome.statistics[0].tries / length)
    assert tries[1] <= tries[0] * 1.01
    assert tries[1] <= 3 * SWEEPS
