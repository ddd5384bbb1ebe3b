"""ViT-Tiny/16 at 224²: 12 layers, width 192, 3 heads."""

import torch
from transformers import ViTConfig, ViTForImageClassification

dynamic_shapes = {"pixel_values": {0: torch.export.Dim("batch", max=64)}}


def model():
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=192,
        num_hidden_layers=12,
        num_attention_heads=3,
        intermediate_size=768,
        num_labels=1000,
    )
    net = ViTForImageClassification(config).eval()
    for name, parameter in net.named_parameters():
        if "layernorm" in name:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return net


def batch(size, seed):
    generator = torch.Generator().manual_seed(seed)
    return {"pixel_values": torch.randn(size, 3, 224, 224, generator=generator)}


def inputs():
    return batch(2, 0)


def calibration():
    return (batch(8, 100 + i) for i in range(8))
