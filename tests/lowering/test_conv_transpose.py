import pytest
import torch
import torch.nn.functional as F

from .models import translated_ops

draw = torch.Generator().manual_seed(0)
LINE = torch.randn(2, 4, 7, generator=draw)
IMAGE = torch.randn(2, 4, 5, 6, generator=draw)
VIDEO = torch.randn(1, 4, 3, 4, 5, generator=draw)
BIAS = torch.randn(6, generator=draw)
K1, K2, K3 = (torch.randn(4, 6, *[3] * n, generator=draw) for n in (1, 2, 3))
GROUPED = torch.randn(4, 3, 3, 2, generator=draw)
CASES = {
    "1-D": (LINE, lambda x: F.conv_transpose1d(x, K1, BIAS, stride=2)),
    "2-D": (IMAGE, lambda x: F.conv_transpose2d(x, K2)),
    "2-D, every option": (
        IMAGE,
        lambda x: F.conv_transpose2d(x, GROUPED, BIAS, (2, 3), (1, 0), (1, 2), 2, (2, 1)),
    ),
    "3-D": (VIDEO, lambda x: F.conv_transpose3d(x, K3, BIAS, padding=1)),
    "no batch": (IMAGE[0], lambda x: F.conv_transpose2d(x, K2, BIAS)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_transposed_convolution_is_one_operator(case, tmp_path):
    assert "ConvTranspose" in translated_ops(*CASES[case], tmp_path)
