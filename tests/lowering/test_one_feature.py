"""Linear layers of one input feature."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from rewrite import capture
from rewrite.runtimes import get_runtime

from .models import lowered, written

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


def test_a_computed_weight_stays(tmp_path):
    class Computed(nn.Module):
        def forward(self, x, w):
            return x @ w

    program = capture(Computed().eval(), (torch.randn(3, 1), torch.randn(1, 4)))
    assert "MatMul" in lowered(program, 20, FAULT).ops()
