"""A MobileNetV3-Large-shaped network at 224² (Howard et al., 2019): hard swish and hard gates."""

import sys
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from gated_blocks import Classifier, Gate, GatedResidual, conv_bn
from resnet18 import batch, calibration, inputs, randomise  # noqa: F401

dynamic_shapes = {"x": {0: torch.export.Dim("batch", max=64)}}
# kernel, hidden, channels, gate, activation, stride
SETTINGS = ((3, 16, 16, 0, "relu", 1), (3, 64, 24, 0, "relu", 2), (3, 72, 24, 0, "relu", 1),
            (5, 72, 40, 24, "relu", 2), (5, 120, 40, 32, "relu", 1), (5, 120, 40, 32, "relu", 1),
            (3, 240, 80, 0, "swish", 2), (3, 200, 80, 0, "swish", 1), (3, 184, 80, 0, "swish", 1),
            (3, 184, 80, 0, "swish", 1), (3, 480, 112, 120, "swish", 1),
            (3, 672, 112, 168, "swish", 1), (5, 672, 160, 168, "swish", 2),
            (5, 960, 160, 240, "swish", 1), (5, 960, 160, 240, "swish", 1))  # fmt: skip
ACT = {"relu": nn.ReLU, "swish": nn.Hardswish}


def blocks(width):
    for kernel, hidden, outer, squeezed, act, stride in SETTINGS:
        gate = Gate(hidden, squeezed, nn.ReLU, nn.Hardsigmoid) if squeezed else None
        yield GatedResidual(width, hidden, outer, kernel, stride, ACT[act], gate)
        width = outer


def model():
    torch.manual_seed(0)
    last = conv_bn(160, 960, 1, act=nn.Hardswish)
    features = [conv_bn(3, 16, 3, 2, act=nn.Hardswish), *blocks(16), last]
    head = nn.Sequential(
        nn.Linear(960, 1280), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(1280, 1000)
    )
    return randomise(Classifier(nn.Sequential(*features), head))
