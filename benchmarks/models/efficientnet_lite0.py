"""An EfficientNet-Lite0-shaped network at 224² (Tan and Le, 2019; its Lite variant).

No squeeze-and-excitation, ReLU6, and batch statistics randomised.
"""

import sys
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from resnet18 import batch, calibration, inputs, randomise  # noqa: F401

dynamic_shapes = {"x": {0: torch.export.Dim("batch", max=64)}}
# expansion, channels, repeats, stride, kernel
SETTINGS = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3),
            (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3))  # fmt: skip


def conv_bn(inner, outer, kernel, stride=1, groups=1, activate=True):
    layers = [
        nn.Conv2d(inner, outer, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outer, eps=1e-3),
    ]
    return nn.Sequential(*layers, *([nn.ReLU6(inplace=True)] if activate else []))


class MBConv(nn.Module):
    def __init__(self, inner, outer, stride, expansion, kernel):
        super().__init__()
        hidden = inner * expansion
        layers = [] if expansion == 1 else [conv_bn(inner, hidden, 1)]
        layers += [
            conv_bn(hidden, hidden, kernel, stride, groups=hidden),
            conv_bn(hidden, outer, 1, activate=False),
        ]
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and inner == outer

    def forward(self, x):
        return x + self.conv(x) if self.residual else self.conv(x)


class EfficientNetLite0(nn.Module):
    def __init__(self):
        super().__init__()
        layers, width = [conv_bn(3, 32, 3, 2)], 32
        for expansion, outer, repeats, stride, kernel in SETTINGS:
            for i in range(repeats):
                layers.append(MBConv(width, outer, stride if i == 0 else 1, expansion, kernel))
                width = outer
        self.features = nn.Sequential(*layers, conv_bn(width, 1280, 1))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, x):
        return self.classifier(torch.flatten(self.pool(self.features(x)), 1))


def model():
    torch.manual_seed(0)
    return randomise(EfficientNetLite0())
