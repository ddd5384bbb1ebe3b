"""Int8 convolutions of one channel over one layer of a volume are right on OpenVINO."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rewrite.lowering.lower import lower
from rewrite.runtimes import get_runtime

from .models import quantized, seven_bits, written

pytest.importorskip("openvino")
AVOIDS = ("flat-volume-of-one-channel",)


def lowered(module: nn.Module, shape: tuple[int, ...]):
    torch.manual_seed(0)
    x = torch.rand(shape)
    program = quantized(nn.Sequential(module, nn.ReLU()), x, target=seven_bits("openvino"))
    return x, program, lower(program, 20, {}, {}, AVOIDS)


def held(result) -> int:
    return sum(bool(node.name) and node.name.endswith("_held") for node in result.model.graph)


def test_a_flat_volume_is_held(tmp_path):
    x, program, result = lowered(nn.Conv3d(1, 16, 3, padding=1), (4, 1, 1, 16, 16))
    assert held(result) == 1
    loaded = get_runtime("openvino").load(written(result, tmp_path), threads=1)
    names = program.signature.input_names
    found = torch.from_numpy(next(iter(loaded.run({names[0]: x.numpy()}).values())))
    expected = program(x).detach()
    assert ((found - expected).norm() / expected.norm()).item() < 0.01


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Conv3d(1, 16, 3, padding=1), (4, 1, 2, 16, 16)),
        (nn.Conv3d(2, 16, 3, padding=1), (4, 2, 1, 16, 16)),
        (nn.Conv3d(1, 16, (1, 3, 3), padding=(0, 1, 1)), (4, 1, 1, 16, 16)),
        (nn.Conv2d(1, 16, 3, padding=1), (4, 1, 1, 16)),
    ],
)
def test_others_are_left_alone(module, shape):
    assert not held(lowered(module, shape)[2])
