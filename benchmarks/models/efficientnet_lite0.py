"""An EfficientNet-Lite0-shaped network at 224² (Tan and Le, 2019; its Lite variant).

No squeeze-and-excitation, ReLU6, and batch statistics randomised.
"""

import sys
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from mobilenetv2 import InvertedResidual, conv_bn
from resnet18 import batch, calibration, inputs, randomise  # noqa: F401

dynamic_shapes = {"x": {0: torch.export.Dim("batch", max=64)}}
EPS = 1e-3
# expansion, channels, repeats, stride, kernel
SETTINGS = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3),
            (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3))  # fmt: skip


class EfficientNetLite0(nn.Module):
    def __init__(self):
        super().__init__()
        layers, width = [conv_bn(3, 32, 3, 2, eps=EPS)], 32
        for expansion, outer, repeats, stride, kernel in SETTINGS:
            for i in range(repeats):
                stride = stride if i == 0 else 1
                layers.append(InvertedResidual(width, outer, stride, expansion, kernel, EPS))
                width = outer
        self.features = nn.Sequential(*layers, conv_bn(width, 1280, 1, eps=EPS))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, x):
        return self.classifier(torch.flatten(self.pool(self.features(x)), 1))


def model():
    torch.manual_seed(0)
    return randomise(EfficientNetLite0())
