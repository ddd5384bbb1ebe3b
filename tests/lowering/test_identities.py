"""Identity nodes go, except those that a branch or body cannot do without."""

from __future__ import annotations

import onnx_ir as ir
import pytest
import torch
from torch import nn

from rewrite import capture
from rewrite.lowering.identities import drop_identities

from .models import Call, assert_agrees, lowered

X = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))


def branches(kept, changed):
    def choose(x):
        y = x * 2
        first, second = torch.cond(x.sum() > 0, kept, changed, (y,))
        return first + 1, second

    return Call(choose).eval()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda v: (v.clone(), v.clone()), lambda v: (v * 2, v.clone())),
        (lambda v: (v.clone(), v * 3), lambda v: (v.clone(), v - 1)),
        (lambda v: (v * 2, v + 1), lambda v: ((v * 3).clone(), v - 1)),
    ],
    ids=["twice the same", "both branches", "of an own value"],
)
def test_branches_that_return_what_was_computed_outside(one, other, sign, tmp_path):
    x = X.abs() * sign
    assert_agrees(capture(branches(one, other), (X,)), tmp_path, 20, x)


def test_a_model_that_loops_over_bags(tmp_path):
    torch.manual_seed(0)
    bags = nn.EmbeddingBag(50, 16, mode="mean").eval()
    assert_agrees(capture(bags, (torch.randint(0, 50, (2, 7)),)), tmp_path)


def test_an_identity_of_a_computed_value_goes():
    program = capture(Call(lambda x: ((x + 1).clone() * 2).clone()).eval(), (X,))
    assert [node.op_type for node in lowered(program).model.graph] == ["Add", "Mul"]


@pytest.mark.parametrize("kept", ["input", "twice"])
def test_an_identity_that_is_a_result_of_its_own_stays(kept):
    given = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([2]))
    made = ir.node("Neg", [given])
    copied = ir.node("Identity", [given if kept == "input" else made.outputs[0]])
    results = [made.outputs[0], copied.outputs[0]]
    graph = ir.Graph([given], results, nodes=[made, copied], opset_imports={"": 20})
    drop_identities(ir.Model(graph, ir_version=10))
    assert [node.op_type for node in graph] == ["Neg", "Identity"]
    assert list(graph.outputs) == results
