"""Two heads on one body: one is scaled, the other is read with and without its scale."""

import torch
from torch import nn


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(16, 32)
        self.classes = nn.Linear(32, 10)
        self.gate = nn.Linear(32, 10)

    def forward(self, x):
        x = torch.relu(self.body(x))
        logits = self.classes(x) * 0.125
        gate = self.gate(x)
        return logits + torch.sigmoid(gate * 4.0) + gate


def model():
    torch.manual_seed(0)
    return TwoHeads().eval()


def inputs():
    return (torch.randn(8, 16),)


dynamic_shapes = ({0: torch.export.Dim("batch")},)
