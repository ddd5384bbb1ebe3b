"""A RepVGG-A0-shaped network at 224² with its three branches (Ding et al., 2021).

Batch statistics are randomised.
"""

import sys
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from resnet18 import batch, calibration, inputs, randomise  # noqa: F401

dynamic_shapes = {"x": {0: torch.export.Dim("batch", max=64)}}
STAGES = ((48, 2), (96, 4), (192, 14), (1280, 1))


def conv_bn(inner, outer, kernel, stride):
    return nn.Sequential(
        nn.Conv2d(inner, outer, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outer)
    )


class Block(nn.Module):
    def __init__(self, inner, outer, stride):
        super().__init__()
        self.dense = conv_bn(inner, outer, 3, stride)
        self.pointwise = conv_bn(inner, outer, 1, stride)
        self.identity = nn.BatchNorm2d(inner) if inner == outer and stride == 1 else None

    def forward(self, x):
        out = self.dense(x) + self.pointwise(x)
        return torch.relu(out if self.identity is None else out + self.identity(x))


class RepVGG(nn.Module):
    def __init__(self):
        super().__init__()
        blocks, inner = [Block(3, 48, 2)], 48
        for outer, repeats in STAGES:
            for i in range(repeats):
                blocks.append(Block(inner, outer, 2 if i == 0 else 1))
                inner = outer
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(inner, 1000)

    def forward(self, x):
        return self.fc(self.blocks(x).mean((2, 3)))


def model():
    torch.manual_seed(0)
    return randomise(RepVGG())
