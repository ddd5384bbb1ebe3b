import itertools

import pytest
import torch
from torch.nn import functional

from rewrite import capture
from rewrite.lowering.decompositions import DECOMPOSITIONS

from .models import Call, assert_agrees

draw = torch.Generator().manual_seed(0)
WAYS = list(itertools.product((0, 1), (0, 1, 2), (True, False)))
sample = torch.ops.aten.grid_sampler_3d.default


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_sampling(way):
    volume = torch.randn(2, 3, 4, 5, 6, generator=draw, dtype=torch.float64)
    # Some points lie outside, where the padding decides.
    grid = torch.randn(2, 3, 2, 4, 3, generator=draw, dtype=torch.float64) * 1.2
    for given in (volume, volume[:, :, :1]):
        made, wanted = DECOMPOSITIONS[sample](given, grid, *way), sample(given, grid, *way)
        torch.testing.assert_close(made, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_a_warped_volume_in_the_file(padding, tmp_path):
    volume = torch.randn(1, 2, 4, 5, 6, generator=draw)
    grid = torch.randn(1, 3, 3, 3, 3, generator=draw)

    def warp(points):
        return functional.grid_sample(volume, points, padding_mode=padding, align_corners=False)

    assert_agrees(capture(Call(warp).eval(), (grid,)), tmp_path)
