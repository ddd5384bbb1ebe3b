"""A detector of the YOLOv5/v8 shape at 256²: CSP blocks, SPPF, a neck of concatenations and
nearest-neighbour enlargement, SiLU throughout, three heads without decoding."""

import sys
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from gated_blocks import conv_bn
from resnet18 import randomise

SIDE = 256
dynamic_shapes = {"x": {0: torch.export.Dim("batch", max=64)}}


def conv(inner, outer, kernel=1, stride=1):
    return conv_bn(inner, outer, kernel, stride, act=nn.SiLU)


class Bottleneck(nn.Module):
    def __init__(self, width, shortcut):
        super().__init__()
        self.cv1, self.cv2 = conv(width, width, 3), conv(width, width, 3)
        self.shortcut = shortcut

    def forward(self, x):
        y = self.cv2(self.cv1(x))
        return x + y if self.shortcut else y


class CrossStage(nn.Module):
    """Half of the channels through the bottlenecks, all intermediate results joined."""

    def __init__(self, inner, outer, repeats, shortcut):
        super().__init__()
        half = outer // 2
        self.cv1 = conv(inner, outer)
        self.blocks = nn.ModuleList(Bottleneck(half, shortcut) for _ in range(repeats))
        self.cv2 = conv((2 + repeats) * half, outer)

    def forward(self, x):
        parts = list(self.cv1(x).chunk(2, 1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        return self.cv2(torch.cat(parts, 1))


class PyramidPool(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.cv1, self.cv2 = conv(width, width // 2), conv(2 * width, width)
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x):
        parts = [self.cv1(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        return self.cv2(torch.cat(parts, 1))


class Head(nn.Module):
    def __init__(self, inner, width, outer):
        super().__init__()
        self.layers = nn.Sequential(conv(inner, width, 3), nn.Conv2d(width, outer, 1))

    def forward(self, x):
        return self.layers(x)


class Detector(nn.Module):
    def __init__(self, w=16, classes=80):
        super().__init__()
        self.stem = nn.Sequential(conv(3, w, 3, 2), conv(w, 2 * w, 3, 2))
        self.stage2 = CrossStage(2 * w, 2 * w, 1, True)
        self.stage3 = nn.Sequential(conv(2 * w, 4 * w, 3, 2), CrossStage(4 * w, 4 * w, 2, True))
        self.stage4 = nn.Sequential(conv(4 * w, 8 * w, 3, 2), CrossStage(8 * w, 8 * w, 2, True))
        self.stage5 = nn.Sequential(
            conv(8 * w, 16 * w, 3, 2), CrossStage(16 * w, 16 * w, 1, True), PyramidPool(16 * w)
        )
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.top4, self.top3 = (
            CrossStage(24 * w, 8 * w, 1, False),
            CrossStage(12 * w, 4 * w, 1, False),
        )
        self.down4, self.down5 = conv(4 * w, 4 * w, 3, 2), conv(8 * w, 8 * w, 3, 2)
        self.bottom4 = CrossStage(12 * w, 8 * w, 1, False)
        self.bottom5 = CrossStage(24 * w, 16 * w, 1, False)
        self.heads = nn.ModuleList(Head(i * w, 4 * w, 64 + classes) for i in (4, 8, 16))

    def forward(self, x):
        c3 = self.stage3(self.stage2(self.stem(x)))
        c4 = self.stage4(c3)
        c5 = self.stage5(c4)
        t4 = self.top4(torch.cat([self.up(c5), c4], 1))
        p3 = self.top3(torch.cat([self.up(t4), c3], 1))
        p4 = self.bottom4(torch.cat([self.down4(p3), t4], 1))
        p5 = self.bottom5(torch.cat([self.down5(p4), c5], 1))
        found = [head(p).flatten(2) for head, p in zip(self.heads, (p3, p4, p5), strict=True)]
        return torch.cat(found, 2)


def model():
    torch.manual_seed(0)
    return randomise(Detector())


def batch(size, seed):
    return (torch.randn(size, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)),)


def inputs():
    return batch(2, 0)


def calibration():
    return (batch(8, 100 + i) for i in range(8))
