"""An EfficientNet-B0-shaped network at 224² (Tan and Le, 2019): SiLU and squeeze-and-excitation."""

import sys
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from gated_blocks import Classifier, Gate, GatedResidual, conv_bn
from resnet18 import batch, calibration, inputs, randomise  # noqa: F401

dynamic_shapes = {"x": {0: torch.export.Dim("batch", max=64)}}
# expansion, channels, repeats, stride, kernel
SETTINGS = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3),
            (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3))  # fmt: skip


def blocks(width):
    for expansion, outer, repeats, stride, kernel in SETTINGS:
        for i in range(repeats):
            hidden = width * expansion
            gate = Gate(hidden, width // 4, nn.SiLU, nn.Sigmoid)
            stride_now = stride if i == 0 else 1
            yield GatedResidual(width, hidden, outer, kernel, stride_now, nn.SiLU, gate)
            width = outer


def model():
    torch.manual_seed(0)
    features = [conv_bn(3, 32, 3, 2, act=nn.SiLU), *blocks(32), conv_bn(320, 1280, 1, act=nn.SiLU)]
    head = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))
    return randomise(Classifier(nn.Sequential(*features), head))
