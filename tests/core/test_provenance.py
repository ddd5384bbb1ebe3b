"""Where a call comes from: the user's own line, or the module and the line nearest to it."""

from __future__ import annotations

import torch
from torch import nn

from rewrite import capture
from rewrite.provenance import source_line

aten = torch.ops.aten


class Called(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 4), nn.ReLU())

    def forward(self, x):
        return self.body(x * 2)


def line(model, target):
    program = capture(model.eval(), (torch.randn(2, 4),))
    return source_line(next(n for n in program.graph.nodes if n.target is target))


def test_the_line_of_the_users_own():
    assert line(Called(), aten.linear.default).endswith("return self.body(x * 2)")


def test_a_layer_of_a_package_alone_is_named_by_its_module():
    found = line(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), aten.linear.default)
    assert found.startswith("module '0', ")
    assert "torch/nn/modules/linear.py" in found


def test_the_nearest_line_stands_beside_the_module():
    program = capture(Called().eval(), (torch.randn(2, 4),))
    node = next(n for n in program.graph.nodes if n.target is aten.relu.default)
    own = node.meta["stack_trace"].splitlines()
    kept = [i for i, text in enumerate(own) if "site-packages" in text]
    node.meta["stack_trace"] = "\n".join(own[i] for i in kept)
    found = source_line(node)
    assert found.startswith("module 'body.1', near ")
    assert found.endswith("return self.body(x * 2)")


def test_a_line_of_torch_itself_is_none_of_the_users():
    """Sizes that torch asks for by itself have such a trace, and no absolute path."""
    program = capture(Called().eval(), (torch.randn(2, 4),))
    node = next(n for n in program.graph.nodes if n.target is aten.relu.default)
    made = '  File "torch/fx/passes/runtime_assert.py", line 24, in insert_deferred_runtime_asserts'
    node.meta["stack_trace"] = made
    assert source_line(node).startswith("module 'body.1', near ")
    assert source_line(node).endswith("return self.body(x * 2)")
