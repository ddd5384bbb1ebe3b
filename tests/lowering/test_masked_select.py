import pytest
import torch

from rewrite import capture

from .models import Call, assert_agrees

X = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "choose",
    [
        lambda x: torch.masked_select(x, x > 0),
        lambda x: torch.masked_select(x, x[0, 0] > 0),
        lambda x: torch.masked_select(x[0], x > 0),
        lambda x: x[x > 0],
        lambda x: x[x[..., 0] > 0],
        lambda x: x[:, x[0, :, 0] > 0],
    ],
)
def test_the_chosen_values_in_their_order(choose, tmp_path):
    assert_agrees(capture(Call(choose).eval(), (X,)), tmp_path)
