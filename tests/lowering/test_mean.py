import pytest
import torch

from .models import translated_ops

IDS = torch.arange(12).reshape(3, 4)
IMAGE = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
FLOAT32_ROUNDING = 1e-6
CASES = {
    "integers": (IDS, lambda x: x.mean(1, dtype=torch.float32), "ReduceMean"),
    "widened": (IMAGE, lambda x: x.mean((2, 3), dtype=torch.float64), "ReduceMean"),
    "double": (IMAGE.double(), lambda x: x.mean((2, 3)), "ReduceMean"),
    "space": (IMAGE, lambda x: x.mean((-1, -2)), "GlobalAveragePool"),
    "space kept": (IMAGE, lambda x: x.mean((2, 3), keepdim=True), "GlobalAveragePool"),
    "channels": (IMAGE, lambda x: x.mean(1), "ReduceMean"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_mean_is_the_same_number_of_the_same_type(case, tmp_path):
    x, function, op = CASES[case]
    assert op in translated_ops(x, function, tmp_path, FLOAT32_ROUNDING)
