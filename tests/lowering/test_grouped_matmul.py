import pytest
import torch
from torch import nn

from rewrite import capture
from rewrite.canonical.grouped_products import GROUPED_MATMUL

from .models import assert_agrees, translated_ops

draw = torch.Generator().manual_seed(0)
ROWS = torch.randn(6, 4, generator=draw)
MATRICES = torch.randn(3, 4, 8, generator=draw)


class Experts(nn.Module):
    """Each row goes to the expert that likes it best."""

    def __init__(self, product=GROUPED_MATMUL):
        super().__init__()
        self.product = product
        self.matrices = nn.Parameter(MATRICES)
        self.router = nn.Linear(4, 3)

    def forward(self, x):
        chosen = self.router(x).argmax(-1)
        order = chosen.argsort(stable=True)
        ends = torch.nn.functional.one_hot(chosen, 3).sum(0).cumsum(0).to(torch.int32)
        return self.product(x[order], self.matrices, ends), order


def test_groups_are_slices_and_an_empty_one_is_none(tmp_path):
    ends = torch.tensor([2, 2, 6], dtype=torch.int32)
    found = translated_ops(ROWS, lambda x: GROUPED_MATMUL(x, MATRICES, ends), tmp_path)
    assert {"Slice", "MatMul", "Concat"} <= found


def test_mixture_of_experts_agrees_on_other_rows(tmp_path):
    torch.manual_seed(0)
    program = capture(Experts().eval(), (ROWS,), ({0: torch.export.Dim("rows", min=2, max=9)},))
    assert "grouped_matmul" in program.text()
    assert_agrees(program, tmp_path, 20, torch.randn(8, 4, generator=draw))


def test_the_operator_of_transformers_has_the_same_name():
    pytest.importorskip("transformers.integrations.moe")
    other = torch.ops.transformers.grouped_mm_fallback
    text = capture(Experts(other).eval(), (ROWS,)).text()
    assert "grouped_matmul" in text and "fallback" not in text
