"""A U-Net at 128² (Ronneberger et al., 2015): padded convolutions, transposed ones to enlarge."""

import sys
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from resnet18 import randomise

dynamic_shapes = {"x": {0: torch.export.Dim("batch", max=64)}}


def double(inner, outer):
    return nn.Sequential(
        nn.Conv2d(inner, outer, 3, padding=1, bias=False),
        nn.BatchNorm2d(outer),
        nn.ReLU(inplace=True),
        nn.Conv2d(outer, outer, 3, padding=1, bias=False),
        nn.BatchNorm2d(outer),
        nn.ReLU(inplace=True),
    )


class UNet(nn.Module):
    def __init__(self, width=32, depth=4, classes=21):
        super().__init__()
        widths = [width << i for i in range(depth)]
        self.down = nn.ModuleList(double(i, o) for i, o in zip([3, *widths], widths, strict=False))
        self.pool = nn.MaxPool2d(2)
        narrower = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(i, o, 2, 2) for i, o in narrower)
        self.up = nn.ModuleList(double(i, o) for i, o in narrower)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x):
        kept = []
        for block in self.down[:-1]:
            x = block(x)
            kept.append(x)
            x = self.pool(x)
        x = self.down[-1](x)
        for enlarge, block in zip(self.enlarge, self.up, strict=True):
            x = block(torch.cat([kept.pop(), enlarge(x)], 1))
        return self.head(x)


def model():
    torch.manual_seed(0)
    return randomise(UNet())


def batch(size, seed):
    return (torch.randn(size, 3, 128, 128, generator=torch.Generator().manual_seed(seed)),)


def inputs():
    return batch(2, 0)


def calibration():
    return (batch(4, 100 + i) for i in range(16))
