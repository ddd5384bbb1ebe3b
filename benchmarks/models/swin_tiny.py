"""Swin-Tiny at 224²: windows of 7, depths 2, 2, 6, 2, layer norms randomised."""

import sys
from pathlib import Path

import torch
from transformers import SwinConfig, SwinForImageClassification

sys.path.insert(0, str(Path(__file__).parent))
from vit_tiny import batch, inputs  # noqa: F401

# torch.onnx cannot export it with a dynamic batch, so that no peer could take part.
dynamic_shapes = None


def model():
    torch.manual_seed(0)
    net = SwinForImageClassification(SwinConfig(num_labels=1000)).eval()
    for name, parameter in net.named_parameters():
        if "norm" in name:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return net


def calibration():
    return (batch(2, 100 + i) for i in range(32))
