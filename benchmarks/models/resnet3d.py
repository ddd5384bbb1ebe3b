"""A ResNet-18 of 3-D convolutions (Tran et al., 2018) on clips of 8 images of 64²."""

import sys
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from resnet18 import randomise

dynamic_shapes = {"x": {0: torch.export.Dim("batch", max=16)}}


class Block(nn.Module):
    def __init__(self, inner, outer, stride):
        super().__init__()
        self.conv1 = nn.Conv3d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(outer)
        self.conv2 = nn.Conv3d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm3d(outer)
        self.shortcut = nn.Identity()
        if stride != 1:
            conv = nn.Conv3d(inner, outer, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm3d(outer))

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet3d(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.stem = nn.Conv3d(3, width, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False)
        self.norm = nn.BatchNorm3d(width)
        blocks = []
        for stage in range(4):
            inner = width << max(stage - 1, 0)
            blocks.append(Block(inner, width << stage, 1 if stage == 0 else 2))
            blocks.append(Block(width << stage, width << stage, 1))
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(width << 3, 400)

    def forward(self, x):
        x = self.blocks(torch.relu(self.norm(self.stem(x))))
        return self.fc(x.mean((2, 3, 4)))


def model():
    torch.manual_seed(0)
    return randomise(ResNet3d())


def batch(size, seed):
    return (torch.randn(size, 3, 8, 64, 64, generator=torch.Generator().manual_seed(seed)),)


def inputs():
    return batch(2, 0)


def calibration():
    return (batch(2, 100 + i) for i in range(16))
