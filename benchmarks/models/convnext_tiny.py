"""A ConvNeXt-Tiny from `transformers` (Liu et al., 2022) at 128²: 7×7 depthwise, LN, GELU."""

import torch
from torch import nn
from transformers import ConvNextConfig, ConvNextForImageClassification

dynamic_shapes = {"pixel_values": {0: torch.export.Dim("batch", max=64)}}


class Logits(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, pixel_values):
        return self.net(pixel_values).logits


def model():
    torch.manual_seed(0)
    net = ConvNextForImageClassification(
        ConvNextConfig(num_labels=1000, layer_scale_init_value=1.0)
    )
    for name, parameter in net.named_parameters():
        if "norm" in name:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return Logits(net).eval()


def batch(size, seed):
    return (torch.randn(size, 3, 128, 128, generator=torch.Generator().manual_seed(seed)),)


def inputs():
    return batch(2, 0)


def calibration():
    return (batch(8, 100 + i) for i in range(8))
