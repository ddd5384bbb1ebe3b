import pytest
import torch

from rewrite import capture
from rewrite.interpret import Interpreter

from .models import Call, assert_agrees, lowered, run, translated_ops, written

TIES = torch.cat((torch.arange(16), torch.arange(16))).reshape(1, 32)
FLOATS = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
CASES = {
    "stable": (TIES, lambda x: x.sort(dim=1, stable=True).indices),
    "descending": (TIES, lambda x: torch.sort(x, dim=1, descending=True, stable=True).indices),
    "places": (FLOATS, lambda x: x.argsort(0, descending=True)),
    "values": (FLOATS, lambda x: x.sort(0).values),
    "bytes": (TIES.to(torch.uint8), lambda x: x.sort(1).values),
}


@pytest.mark.parametrize("case", CASES)
def test_sorting_is_one_operator(case, tmp_path):
    assert "TopK" in translated_ops(*CASES[case], tmp_path)


def test_equal_values_keep_their_order_in_program_and_file(tmp_path):
    program = capture(Call(lambda x: x.gather(1, x.argsort(1))).eval(), (TIES,))
    assert "sort.stable(%x, stable=True, dim=1)" in program.text()
    assert_agrees(program, tmp_path)


@pytest.mark.parametrize("largest", [True, False])
def test_simulated_choice_among_equal_values_is_that_of_the_runtime(largest, tmp_path):
    scores = torch.tensor([[0.5, 1.0, 0.25, 1.0, 0.25, 0.5] * 6])
    choose = Call(lambda x: x.topk(7, largest=largest).indices)
    program = capture(choose.eval(), (scores,))
    (actual,) = run(written(lowered(program), tmp_path), program).values()
    (simulated,) = Interpreter(program).run_inputs((scores,), {})
    assert simulated.tolist() == actual.tolist()
