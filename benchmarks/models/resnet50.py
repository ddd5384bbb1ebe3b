"""A ResNet-50-shaped network at 224² (He et al., 2015), batch statistics randomised."""

import sys
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from resnet18 import batch, calibration, inputs, randomise, shortcut  # noqa: F401

dynamic_shapes = {"x": {0: torch.export.Dim("batch", max=64)}}
EXPANSION = 4


class Bottleneck(nn.Module):
    def __init__(self, inner, width, stride):
        super().__init__()
        outer = EXPANSION * width
        self.conv1 = nn.Conv2d(inner, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outer, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outer)
        self.downsample = shortcut(inner, outer, stride)

    def forward(self, x):
        identity = self.downsample(x)
        out = torch.relu(self.bn1(self.conv1(x)))
        out = torch.relu(self.bn2(self.conv2(out)))
        return torch.relu(self.bn3(self.conv3(out)) + identity)


class ResNet50(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, 2, 3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        )
        blocks, inner = [], 64
        for stage, (width, repeats) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
            for i in range(repeats):
                blocks.append(Bottleneck(inner, width, 2 if i == 0 and stage else 1))
                inner = EXPANSION * width
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(inner, 1000)

    def forward(self, x):
        x = self.blocks(self.stem(x))
        return self.fc(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))


def model():
    torch.manual_seed(0)
    return randomise(ResNet50())
