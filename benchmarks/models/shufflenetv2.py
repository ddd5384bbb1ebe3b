"""A ShuffleNetV2-shaped network at 224² (Ma et al., 2018): channels split, joined and shuffled."""

import sys
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from gated_blocks import conv_bn
from resnet18 import batch, calibration, inputs, randomise  # noqa: F401

dynamic_shapes = {"x": {0: torch.export.Dim("batch", max=64)}}
# channels, repeats
SETTINGS = ((116, 3), (232, 7), (464, 3))


def branch(inner, outer, stride):
    return nn.Sequential(
        conv_bn(inner, outer, 1, act=nn.ReLU),
        conv_bn(outer, outer, 3, stride, groups=outer),
        conv_bn(outer, outer, 1, act=nn.ReLU),
    )


def shuffled(x):
    batch_size, width, height, length = x.shape
    x = x.reshape(batch_size, 2, width // 2, height, length).transpose(1, 2)
    return x.reshape(batch_size, width, height, length)


class Unit(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.branch = branch(width // 2, width // 2, 1)

    def forward(self, x):
        left, right = x.chunk(2, dim=1)
        return shuffled(torch.cat((left, self.branch(right)), 1))


class Down(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        half = outer // 2
        self.left = nn.Sequential(
            conv_bn(inner, inner, 3, 2, groups=inner), conv_bn(inner, half, 1, act=nn.ReLU)
        )
        self.right = branch(inner, half, 2)

    def forward(self, x):
        return shuffled(torch.cat((self.left(x), self.right(x)), 1))


class ShuffleNet(nn.Module):
    def __init__(self):
        super().__init__()
        layers, width = [conv_bn(3, 24, 3, 2, act=nn.ReLU), nn.MaxPool2d(3, 2, 1)], 24
        for outer, repeats in SETTINGS:
            layers += [Down(width, outer), *(Unit(outer) for _ in range(repeats))]
            width = outer
        self.features = nn.Sequential(*layers, conv_bn(width, 1024, 1, act=nn.ReLU))
        self.head = nn.Linear(1024, 1000)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


def model():
    torch.manual_seed(0)
    return randomise(ShuffleNet())
