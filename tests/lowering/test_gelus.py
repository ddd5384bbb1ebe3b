"""Functions by tanh that are nearly a GELU."""

from __future__ import annotations

import math

import pytest
import torch

from rewrite import capture
from rewrite.runtimes import get_runtime

from .models import Call, lowered, written

FAULT = ("gelu-of-near-factors",)
X = torch.linspace(-4, 4, 64).reshape(4, 16)
EXACT = math.sqrt(2 / math.pi), 0.044715


def near_gelu(factor, cubic):
    return Call(lambda x: 0.5 * x * (1 + torch.tanh(factor * (x + cubic * torch.pow(x, 3)))))


@pytest.mark.parametrize(
    ("factor", "cubic", "held"),
    [
        (*EXACT, False),
        (0.7978845608, 0.044715, False),
        (0.8, 0.044715, True),
        (EXACT[0], 0.0455, True),
        (0.9, 0.044715, False),
        (0.8, 0.5, False),
    ],
)
def test_only_factors_nearby_are_held(factor, cubic, held, tmp_path):
    program = capture(near_gelu(factor, cubic).eval(), (X,))
    result = lowered(program, 20, FAULT)
    assert ("Max" in result.ops()) == held
    pytest.importorskip("openvino")
    path = written(result, tmp_path)
    (made,) = get_runtime("openvino").load(path).run({"x": X.numpy()}).values()
    torch.testing.assert_close(torch.from_numpy(made), program(X), rtol=0, atol=1e-5)
