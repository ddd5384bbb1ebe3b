"""Two bidirectional LSTM layers over 64 embedded words, and a linear layer for each."""

import torch
from torch import nn

WORDS = 5000
dynamic_shapes = {"words": {0: torch.export.Dim("batch", max=64)}}


class Tagger(nn.Module):
    def __init__(self, width=256, tags=32):
        super().__init__()
        self.embed = nn.Embedding(WORDS, width)
        self.lstm = nn.LSTM(width, width, 2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(2 * width, tags)

    def forward(self, words):
        return self.head(self.lstm(self.embed(words))[0])


def model():
    torch.manual_seed(0)
    return Tagger().eval()


def batch(size, seed):
    return (torch.randint(0, WORDS, (size, 64), generator=torch.Generator().manual_seed(seed)),)


def inputs():
    return batch(8, 0)


def calibration():
    return (batch(8, 100 + i) for i in range(8))
