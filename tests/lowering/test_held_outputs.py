"""What leaves the model as floats is not rounded along with what a layer reads."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rewrite.lowering.lower import lower

from .models import quantized, run, written


class Embedding(nn.Module):
    """An output that a layer reads in another layout, or as it is."""

    def __init__(self, turned: bool):
        super().__init__()
        self.turned, self.mix = turned, nn.Linear(6, 6)

    def forward(self, x):
        y = x.tanh()
        return y, self.mix(y.transpose(1, 2) if self.turned else y)


@pytest.mark.parametrize("turned", [True, False])
def test_outputs_are_not_rounded_with_what_a_layer_reads(turned, tmp_path):
    x = torch.randn(2, 6, 6, generator=torch.Generator().manual_seed(0))
    program = quantized(Embedding(turned), x)
    result = lower(program, 20, {}, {}, ("quantizer-moved-past-output",))
    held = [n for n in result.model.graph if n.name and n.name.endswith("_held")]
    assert len(held) == turned
    found = next(iter(run(written(result, tmp_path), program).values()))
    torch.testing.assert_close(torch.from_numpy(found), x.tanh())
