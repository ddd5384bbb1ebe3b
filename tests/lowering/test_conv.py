"""Convolutions over volumes, with and without a bias."""

import pytest
import torch
import torch.nn.functional as F

from .models import translated_ops

draw = torch.Generator().manual_seed(0)
VIDEO = torch.randn(2, 2, 5, 6, 6, generator=draw)
WEIGHT = torch.randn(4, 2, 3, 3, 3, generator=draw)
BIAS = torch.randn(4, generator=draw)
CASES = {
    "no bias": (VIDEO, lambda x: F.conv3d(x, WEIGHT, stride=2, padding=1)),
    "bias": (VIDEO, lambda x: F.conv3d(x, WEIGHT, BIAS, (1, 2, 1), (1, 0, 2), (1, 1, 2))),
    "groups": (VIDEO, lambda x: F.conv3d(x, WEIGHT[:, :1], groups=2)),
    "no batch": (VIDEO[0], lambda x: F.conv3d(x, WEIGHT)),
}
ROUNDING = 2e-5
"""Sums of 54 products."""


@pytest.mark.parametrize("case", CASES)
def test_a_convolution_over_volumes_is_one_operator(case, tmp_path):
    assert "Conv" in translated_ops(*CASES[case], tmp_path, ROUNDING)
