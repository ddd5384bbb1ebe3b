"""Outputs that are inputs but for casts do not share their memory on OpenVINO."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.export import Dim

from rewrite import capture
from rewrite.lowering.lower import lower
from rewrite.runtimes import RuntimeFailure, get_runtime

from .models import written

pytest.importorskip("openvino")
AVOIDS = ("cast-input-given-out",)


class Rounded(nn.Module):
    """An input given out in half precision and back, and what else is made of it."""

    def __init__(self, doubled: bool):
        super().__init__()
        self.doubled = doubled

    def forward(self, x):
        y = x.half().float()
        return y * 2 if self.doubled else y, x.relu()


X = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))


def lowered(doubled: bool, avoids=AVOIDS):
    program = capture(Rounded(doubled).eval(), (X,), {"x": {0: Dim("b", max=8)}})
    return lower(program, 20, {}, {}, avoids)


def changed(result, folder) -> list[int]:
    """Run as users do, who share the memory of their inputs, and return which inputs changed."""
    loaded = get_runtime("openvino").load(written(result, folder), threads=1)
    given = [torch.full((4, 8), float(number)).numpy() for number in range(6)]
    for each in given:
        output = loaded.compiled([each])[0]
        assert (output == each).all()
    return [number for number, each in enumerate(given) if (each != number).any()]


def test_an_input_that_is_given_out_stays_as_it_is(tmp_path):
    result = lowered(doubled=False)
    assert [node.op_type for node in result.model.graph].count("Max") == 1
    assert [value.name for value in result.model.graph.outputs] == ["output_0", "output_1"]
    assert not changed(result, tmp_path)
    assert changed(lowered(doubled=False, avoids=()), tmp_path), "OpenVINO has mended it"


def test_a_runtime_that_writes_to_earlier_inputs_is_told(tmp_path):
    file = written(lowered(doubled=False, avoids=()), tmp_path)
    loaded = get_runtime("openvino").load(file, threads=1)
    with pytest.raises(RuntimeFailure, match="writes to the inputs of earlier runs"):
        for number in range(6):
            loaded.run({"x": torch.full((4, 8), float(number)).numpy()})


def test_what_is_computed_is_left_alone():
    assert "Max" not in [node.op_type for node in lowered(doubled=True).model.graph]
