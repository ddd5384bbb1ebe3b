"""Products of 16-bit activations are no MatMulNBits, which would round these to 8 bits."""

from __future__ import annotations

from collections import Counter

import onnx
import pytest
import torch
from torch import nn

from rewrite.lowering.lower import lower

from .models import quantized, run, written

ROWS = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
TOKENS = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0))
FAULT = "sixteen-bits-rounded"


class Net(nn.Module):
    """Two layers, of which the first reads another layout."""

    def __init__(self, bias=True):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(6, 8, bias=bias), nn.Linear(8, 4, bias=bias)

    def forward(self, x):
        return self.last(self.first(x).flip(0).relu())


def barriers(bits: str, x: torch.Tensor, bias: bool, opset: int, tmp_path) -> int:
    """Write a file, hold it to the program, and return how many of its weights are held."""
    program = quantized(Net(bias).eval(), x, bits=bits)
    path = written(lower(program, opset, {}, {}, (FAULT,)), tmp_path)
    (value,) = run(path, program, x).values()
    torch.testing.assert_close(torch.from_numpy(value), program(x), rtol=1e-3, atol=1e-4)
    return Counter(node.op_type for node in onnx.load(path).graph.node)["Max"]


@pytest.mark.parametrize("opset", [20, 21])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("x", [ROWS, TOKENS], ids=["rows", "tokens"])
def test_weights_in_front_of_them_are_held(x, bias, opset, tmp_path):
    assert barriers("w8a16", x, bias, opset, tmp_path) == 2


def test_weights_of_sixteen_bits_are_not(tmp_path):
    assert barriers("w16a16", ROWS, True, 21, tmp_path) == 0


def test_products_of_eight_bits_are_left_alone(tmp_path):
    program = quantized(Net().eval(), ROWS)
    assert "Max" not in lower(program, 20, {}, {}, (FAULT,)).ops()
