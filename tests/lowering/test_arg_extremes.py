import pytest
import torch

from rewrite import capture

from .models import Call, assert_agrees, lowered, run, translated_ops, written

X = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
UNKNOWN = X.clone()
UNKNOWN[0, 1, 2] = UNKNOWN[2, :, 0] = float("nan")


@pytest.mark.parametrize("find", [torch.argmax, torch.argmin])
@pytest.mark.parametrize("keepdim", [False, True])
def test_every_dimension_and_all_of_them(find, keepdim, tmp_path):
    def places(x):
        return find(x, keepdim=keepdim), find(x, 1, keepdim), find(x, -1), find(x[0, 0, 0])

    assert_agrees(capture(Call(places).eval(), (X,)), tmp_path)


@pytest.mark.parametrize("find", [torch.argmax, torch.argmin])
def test_an_unknown_value_of_an_input_is_found(find, tmp_path):
    program = capture(Call(lambda x: find(x.transpose(1, 2), 1)).eval(), (X,))
    session = written(lowered(program), tmp_path)
    (made,) = run(session, program, UNKNOWN).values()
    assert made.tolist() == find(UNKNOWN.transpose(1, 2), 1).tolist()


def test_a_mask_of_unknown_values_is_part_of_the_data(tmp_path):
    assert "IsNaN" in translated_ops(X, lambda x: x.masked_fill(x > 1, 0.0).argmax(-1), tmp_path)


def test_what_arithmetic_made_is_read_as_it_is(tmp_path):
    made = translated_ops(X, lambda x: (x * 2.0).softmax(-1).argmax(-1), tmp_path)
    assert "ArgMax" in made and "IsNaN" not in made


def test_integers_are_never_unknown(tmp_path):
    assert "IsNaN" not in translated_ops(X.round().long(), lambda x: x.argmax(-1), tmp_path)
