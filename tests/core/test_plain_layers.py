"""Layers of torch with shortcuts of their own are captured as they are written."""

from __future__ import annotations

import torch
from torch import nn
from torch.export import Dim

from rewrite import capture

BATCH, TOKENS = Dim("batch", max=8), Dim("tokens", min=2, max=16)


class Padded(nn.Module):
    """An encoder whose fast path returns zeros at padded tokens."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1)

    def forward(self, x, padding):
        return self.encoder(x, src_key_padding_mask=padding)


class Causal(nn.Module):
    """A decoder that looks whether its mask is causal."""

    def __init__(self):
        super().__init__()
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16), 1)

    def forward(self, x, memory):
        mask = torch.triu(torch.full((x.shape[0], x.shape[0]), float("-inf")), 1)
        return self.decoder(x, memory, tgt_mask=mask)


def test_padded_encoder_is_captured():
    x, padding = torch.randn(2, 5, 8), torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    model = Padded().eval()
    sizes = {0: BATCH, 1: TOKENS}
    program = capture(model, (x, padding), (sizes, sizes))
    kept = ~padding
    torch.testing.assert_close(program(x, padding)[kept], model(x, padding)[kept])
    assert torch.backends.mha.get_fastpath_enabled()


def test_mask_made_in_forward_is_captured():
    model = Causal().eval()
    x, memory = torch.randn(5, 2, 8), torch.randn(4, 2, 8)
    program = capture(model, (x, memory), ({0: TOKENS}, {0: Dim("read", min=2, max=16)}))
    other = torch.randn(7, 2, 8)
    torch.testing.assert_close(program(other, memory), model(other, memory))
