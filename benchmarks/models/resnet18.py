"""A ResNet-18-shaped network at 224² (He et al., 2015), batch statistics randomised."""

import torch
from torch import nn

dynamic_shapes = {"x": {0: torch.export.Dim("batch", max=64)}}


def shortcut(inner, outer, stride):
    if stride == 1 and inner == outer:
        return nn.Identity()
    conv = nn.Conv2d(inner, outer, 1, stride, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outer))


class Block(nn.Module):
    def __init__(self, inner, outer, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)
        self.downsample = shortcut(inner, outer, stride)

    def forward(self, x):
        identity = self.downsample(x)
        out = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(out)) + identity)


class ResNet18(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.pool = nn.MaxPool2d(3, 2, 1)
        widths = [64, 64, 128, 256, 512]
        blocks = []
        for stage in range(4):
            stride = 1 if stage == 0 else 2
            blocks.append(Block(widths[stage], widths[stage + 1], stride))
            blocks.append(Block(widths[stage + 1], widths[stage + 1], 1))
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(512, 1000)

    def forward(self, x):
        x = self.pool(torch.relu(self.bn1(self.conv1(x))))
        x = self.blocks(x)
        return self.fc(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))


def randomise(net):
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return net.eval()


def model():
    torch.manual_seed(0)
    return randomise(ResNet18())


def batch(size, seed):
    return (torch.randn(size, 3, 224, 224, generator=torch.Generator().manual_seed(seed)),)


def inputs():
    return batch(2, 0)


def calibration():
    return (batch(8, 100 + i) for i in range(8))
