"""Linear layers of one input feature."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from rewrite import capture
from rewrite.artifact import deployed_runner
from rewrite.runtimes import get_runtime

from .models import Call, lowered, written

FAULT = ("products-of-one-feature",)


def layers(*widths: int, bias: bool) -> nn.Module:
    torch.manual_seed(0)
    pairs = itertools.pairwise(widths)
    each = (part for a, b in pairs for part in (nn.Linear(a, b, bias=bias), nn.Sigmoid()))
    return nn.Sequential(*each).eval()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("widths", "products"),
    [((8, 1, 1), 1), ((1, 1, 8), 0), ((1, 1, 1), 0), ((8, 1, 8), 1), ((8, 2, 8), 2)],
)
def test_one_feature_is_a_factor(widths, products, bias, tmp_path):
    x = torch.randn(3, widths[0])
    program = capture(layers(*widths, bias=bias), (x,))
    result = lowered(program, 20, FAULT)
    ops = result.ops()
    assert ops.get("MatMul", 0) + ops.get("Gemm", 0) == products
    pytest.importorskip("openvino")
    path = written(result, tmp_path)
    feeds = {program.signature.input_names[0]: x.numpy()}
    for runtime in ("onnxruntime", "openvino"):
        (made,) = get_runtime(runtime).load(path, threads=1).run(feeds).values()
        torch.testing.assert_close(torch.from_numpy(made), program(x), rtol=0, atol=1e-6)


WEIGHT, ROW = torch.randn(1, 4), torch.randn(4)
STAYS = {
    "computed": lambda x: x @ x.T,
    "tokens": lambda x: x[None] @ WEIGHT,
    "doubles": lambda x: x.double() @ WEIGHT.double(),
    "factors": lambda x: torch.addmm(ROW, x, WEIGHT, alpha=0.5, beta=2),
    "two features": lambda x: torch.cat([x, x], 1) @ WEIGHT.repeat(2, 1),
}


@pytest.mark.parametrize("name", STAYS)
def test_other_products_stay(name):
    program = capture(Call(STAYS[name]).eval(), (torch.randn(3, 1),))
    with_fault, without = (lowered(program, 20, faults).ops() for faults in (FAULT, ()))
    assert with_fault == without
    assert {"MatMul", "Gemm"} & set(with_fault)


def test_rows_outputs_and_other_readers_of_the_weight(tmp_path):
    """Any number of rows, results that leave the model, and one weight read twice."""

    def forward(x):
        first = torch.addmm(ROW, x, WEIGHT)
        return first, x.relu() @ WEIGHT, WEIGHT * 2

    rows = torch.export.Dim("rows", max=64)
    program = capture(Call(forward).eval(), (torch.randn(3, 1),), ({0: rows},))
    result = lowered(program, 20, FAULT)
    assert not {"MatMul", "Gemm"} & set(result.ops())
    loaded = get_runtime("onnxruntime").load(written(result, tmp_path), threads=1)
    x = torch.randn(5, 1)
    found = deployed_runner(program, loaded)(x)
    for one, other in zip(found, forward(x), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
