"""ResNet with basic blocks (He et al., 2015, arXiv:1512.03385)."""

from __future__ import annotations

import torch
from torch import nn

from . import digits
from .family import Family, Recipe


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: (N, C, H, W) -> (N, C', H/stride, W/stride)."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False),
                nn.BatchNorm2d(channels),
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return relu(residual(x) + shortcut(x))."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        x += shortcut
        return self.relu(x)


class ResNet(nn.Module):
    """Stem with max-pool, three stages, global average pool: (N, 1, 16, 16) -> (N, 10)."""

    def __init__(
        self,
        widths: tuple[int, ...] = (24, 48, 96),
        depth: int = 2,
        num_classes: int = digits.CLASSES,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layers = nn.Sequential()
        channels = widths[0]
        for stage, width in enumerate(widths):
            for block in range(depth):
                stride = 2 if stage > 0 and block == 0 else 1
                self.layers.append(BasicBlock(channels, width, stride))
                channels = width
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the class logits."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        x = self.layers(x)
        return self.fc(self.avgpool(x).flatten(1))


RESNET_DIGITS = Family(
    name="resnet-digits",
    build=ResNet,
    task=digits,
    dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
    recipe=Recipe(steps=1000, batch_size=64, learning_rate=4e-3, label_smoothing=0.05),
    summary="ResNet-14 with basic blocks on handwritten digits.",
    source=f"arXiv:1512.03385; {digits.SOURCE}",
)
