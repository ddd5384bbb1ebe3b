import pytest
import torch
from torch import nn
from torch.export import Dim

from rewrite.larger_example import enlarge


class Pair(nn.Module):
    def forward(self, x, other=None):
        return x


X = torch.arange(6.0).reshape(2, 3)
BATCH = Dim("batch", max=64)


def test_every_dynamic_axis_is_repeated():
    shapes = {"x": {0: BATCH}, "other": {1: BATCH}}
    args, kwargs = enlarge(Pair(), (X,), {"other": X.T}, shapes)
    assert torch.equal(args[0], X.repeat(3, 1))
    assert torch.equal(kwargs["other"], X.T.repeat(1, 3))


def test_sizes_in_steps_stay_in_steps():
    (larger,), _ = enlarge(Pair(), (X.T,), {}, ({0: 3 * Dim("n", max=9)},))
    assert larger.shape == (9, 2)


@pytest.mark.parametrize(
    ("dim", "size"), [(Dim("n", max=5), 4), (Dim("n", max=64), 6), (Dim.AUTO, 6)]
)
def test_a_range_is_kept(dim, size):
    (larger,), _ = enlarge(Pair(), (X,), {}, ({0: dim},))
    assert larger.shape == (size, 3)


@pytest.mark.parametrize("shapes", [None, ({0: Dim("n", max=3)},), ({0: Dim("m") + 1},)])
def test_there_may_be_no_room(shapes):
    assert enlarge(Pair(), (X,), {}, shapes) is None
