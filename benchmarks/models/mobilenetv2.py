"""A MobileNetV2-shaped network at 224² (Sandler et al., 2018), batch statistics randomised."""

import sys
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from resnet18 import batch, calibration, inputs, randomise  # noqa: F401

dynamic_shapes = {"x": {0: torch.export.Dim("batch", max=64)}}
SETTINGS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
            (6, 160, 3, 2), (6, 320, 1, 1))  # fmt: skip


def conv_bn(inner, outer, kernel, stride=1, groups=1, activate=True, eps=1e-5):
    layers = [
        nn.Conv2d(inner, outer, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outer, eps=eps),
    ]
    return nn.Sequential(*layers, *([nn.ReLU6(inplace=True)] if activate else []))


class InvertedResidual(nn.Module):
    def __init__(self, inner, outer, stride, expansion, kernel=3, eps=1e-5):
        super().__init__()
        hidden = inner * expansion
        layers = [] if expansion == 1 else [conv_bn(inner, hidden, 1, eps=eps)]
        layers += [
            conv_bn(hidden, hidden, kernel, stride, groups=hidden, eps=eps),
            conv_bn(hidden, outer, 1, activate=False, eps=eps),
        ]
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and inner == outer

    def forward(self, x):
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    def __init__(self):
        super().__init__()
        layers, width = [conv_bn(3, 32, 3, 2)], 32
        for expansion, outer, repeats, stride in SETTINGS:
            for i in range(repeats):
                layers.append(InvertedResidual(width, outer, stride if i == 0 else 1, expansion))
                width = outer
        self.features = nn.Sequential(*layers, conv_bn(width, 1280, 1))
        self.classifier = nn.Linear(1280, 1000)

    def forward(self, x):
        return self.classifier(self.features(x).mean([2, 3]))


def model():
    torch.manual_seed(0)
    return randomise(MobileNetV2())
