"""Operators without a translation are called by the name and the line that the user knows."""

import pytest
import torch

from rewrite import CheckError, capture

from .models import Call, lowered

SQUARE = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
CASES = {
    "as it is": (lambda x: torch.linalg.eigh(x)[0], "aten.linalg_eigh.default"),
    "decomposed": (lambda x: torch.linalg.eigvals(x).abs(), "aten.linalg_eigvals.default"),
    "of another package": (lambda x: torch.special.ndtri(x), "aten.special_ndtri.default"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_operator_and_its_line_are_named(case):
    function, name = CASES[case]
    program = capture(Call(function).eval(), (SQUARE,))
    with pytest.raises(CheckError, match=f"no ONNX translation for '{name}'") as caught:
        lowered(program)
    assert "test_untranslated.py:" in str(caught.value.where)
    assert "rewrite_lowerings" in str(caught.value.hint)
