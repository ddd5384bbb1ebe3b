"""MobileNetV2: inverted residuals with linear bottlenecks (Sandler et al., arXiv:1801.04381)."""

from __future__ import annotations

import torch
from torch import nn

from . import digits
from .family import Family, Recipe

# expansion, channels, blocks, stride of the first block (table 2 of the paper, scaled down)
STAGES = ((1, 16, 1, 1), (4, 24, 2, 2), (4, 40, 2, 2), (4, 64, 2, 1))


def conv_bn_relu6(
    in_channels: int, channels: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Return convolution, batch norm and ReLU6, padded to keep the size at stride 1."""
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """Expand 1x1, filter depthwise, project 1x1: (N, C, H, W) -> (N, C', H/stride, W/stride)."""

    def __init__(self, in_channels: int, channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.use_shortcut = stride == 1 and in_channels == channels
        self.conv = nn.Sequential()
        if expansion != 1:
            self.conv.append(conv_bn_relu6(in_channels, hidden, 1))
        self.conv.append(conv_bn_relu6(hidden, hidden, 3, stride, groups=hidden))
        self.conv.append(nn.Conv2d(hidden, channels, 1, bias=False))
        self.conv.append(nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the projection, plus x where the shapes agree."""
        return x + self.conv(x) if self.use_shortcut else self.conv(x)


class MobileNetV2(nn.Module):
    """Stem, inverted residuals, 1x1 head, global average pool: (N, 1, 16, 16) -> (N, 10)."""

    def __init__(self, stem: int = 16, head: int = 128, num_classes: int = digits.CLASSES) -> None:
        super().__init__()
        self.features = nn.Sequential(conv_bn_relu6(1, stem, 3))
        channels = stem
        for expansion, width, blocks, first_stride in STAGES:
            for block in range(blocks):
                stride = first_stride if block == 0 else 1
                self.features.append(InvertedResidual(channels, width, stride, expansion))
                channels = width
        self.features.append(conv_bn_relu6(channels, head, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.1), nn.Linear(head, num_classes))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the class logits."""
        return self.classifier(self.features(images).mean([2, 3]))


MOBILENET_DIGITS = Family(
    name="mobilenet-digits",
    build=MobileNetV2,
    task=digits,
    dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
    recipe=Recipe(steps=1000, batch_size=64, learning_rate=4e-3, label_smoothing=0.05),
    summary="MobileNetV2 (depthwise convolutions, ReLU6) on handwritten digits.",
    source=f"arXiv:1801.04381; {digits.SOURCE}",
)
