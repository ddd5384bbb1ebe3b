from pathlib import Path

import torch
from fold_scale import FoldScale
from torch import nn

from rewrite.testing import check_declines, check_pass

GOLDEN = Path(__file__).parent / "golden" / "fold-scale.txt"
BATCH = ({0: torch.export.Dim("batch")},)


class Head(nn.Module):
    def __init__(self, factor, residual=False, bias=True):
        super().__init__()
        self.linear = nn.Linear(4, 3, bias=bias)
        self.factor = factor
        self.residual = residual

    def forward(self, x):
        x = self.linear(x)
        return x * self.factor + x if self.residual else x * self.factor


def test_a_number_goes_into_the_weights():
    x = (torch.randn(2, 4),)
    check_pass(FoldScale(), Head(0.125), x, dynamic_shapes=BATCH, rewrites=1, golden=GOLDEN)


def test_a_layer_without_bias_gets_none():
    check_pass(FoldScale(), Head(0.125, bias=False), (torch.randn(2, 4),), rewrites=1)


def test_a_tensor_stays():
    head = Head(nn.Parameter(torch.ones(3)))
    check_declines(FoldScale(), head, (torch.randn(2, 4),), "the factor is a tensor")


def test_a_result_that_is_read_twice_stays():
    head = Head(0.125, residual=True)
    check_declines(FoldScale(), head, (torch.randn(2, 4),), "also read without the factor")
