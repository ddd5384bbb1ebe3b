"""RepVGG with its training-time branches (Ding et al., 2021, arXiv:2101.03697)."""

from __future__ import annotations

import torch
from torch import nn

from . import digits
from .family import Family, Recipe

# channels, blocks, stride of the first block
STAGES = ((24, 2, 1), (32, 2, 2), (64, 3, 2), (128, 1, 2))


class RepVGGBlock(nn.Module):
    """ReLU of the sum of a 3x3, a 1x1 and, where shapes agree, an identity branch.

    Each branch ends in its own batch norm: (N, C, H, W) -> (N, C', H/stride, W/stride).
    The three are linear, so that one 3x3 convolution can stand for them (section 3.3).
    """

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.rbr_dense = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.rbr_1x1 = nn.Sequential(
            nn.Conv2d(in_channels, channels, 1, stride, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.rbr_identity: nn.Module | None = None
        if stride == 1 and in_channels == channels:
            self.rbr_identity = nn.BatchNorm2d(channels)
        self.nonlinearity = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return relu(dense(x) + pointwise(x) + identity(x))."""
        total = self.rbr_dense(x) + self.rbr_1x1(x)
        if self.rbr_identity is not None:
            total = total + self.rbr_identity(x)
        return self.nonlinearity(total)


class RepVGG(nn.Module):
    """A plain stack of blocks and a global average pool: (N, 1, 16, 16) -> (N, 10)."""

    def __init__(self, num_classes: int = digits.CLASSES) -> None:
        super().__init__()
        self.stages = nn.Sequential()
        channels = 1
        for width, blocks, first_stride in STAGES:
            for block in range(blocks):
                stride = first_stride if block == 0 else 1
                self.stages.append(RepVGGBlock(channels, width, stride))
                channels = width
        self.gap = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(channels, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the class logits."""
        x = self.gap(self.stages(images))
        return self.linear(x.view(x.size(0), -1))


REPVGG_DIGITS = Family(
    name="repvgg-digits",
    build=RepVGG,
    task=digits,
    dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
    recipe=Recipe(steps=1000, batch_size=64, learning_rate=4e-3, label_smoothing=0.05),
    summary="RepVGG with all training-time branches on handwritten digits.",
    source=f"arXiv:2101.03697; {digits.SOURCE}",
)
