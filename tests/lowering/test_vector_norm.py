import pytest
import torch

from rewrite import capture

from .models import Call, assert_agrees, lowered

norm = torch.linalg.vector_norm
X = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
X[0, 0, :3] = 0.0


@pytest.mark.parametrize("order", [2, 1, 0, 3, 2.5, float("inf"), -float("inf")])
@pytest.mark.parametrize("keepdim", [False, True])
def test_every_order_over_all_and_some_dimensions(order, keepdim, tmp_path):
    def norms(x):
        each = [norm(x, order, dim, keepdim) for dim in (None, 1, (0, -1))]
        return (*each, norm(x[1, 0, 0], order))

    assert_agrees(capture(Call(norms).eval(), (X,)), tmp_path)


def test_a_kept_norm_of_everything(tmp_path):
    program = capture(Call(lambda x: torch.linalg.norm(x, keepdim=True)).eval(), (X,))
    assert_agrees(program, tmp_path)
    assert lowered(program).ops() == {"ReduceL2": 1}


def test_a_norm_of_another_type(tmp_path):
    program = capture(Call(lambda x: norm(x, 3, 1, dtype=torch.float64)).eval(), (X,))
    assert_agrees(program, tmp_path)
