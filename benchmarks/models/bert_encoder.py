"""A 6-layer post-LN BERT encoder: hidden 384, 12 heads, 16 sequences of 128 tokens."""

import torch
from transformers import BertConfig, BertModel

VOCABULARY, BATCH, TOKENS = 30522, 16, 128

dynamic_shapes = {
    "input_ids": {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=512)},
    "attention_mask": {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=512)},
}


def model():
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
    )
    net = BertModel(config, add_pooling_layer=False).eval()
    for name, parameter in net.named_parameters():
        if "LayerNorm" in name:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return net


def batch(size, seed):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, VOCABULARY, (size, TOKENS), generator=generator)
    mask = torch.ones_like(ids)
    mask[::2, TOKENS - 28 :] = 0
    return {"input_ids": ids, "attention_mask": mask}


def inputs():
    return batch(BATCH, 0)


def calibration():
    return (batch(8, 100 + i) for i in range(8))
