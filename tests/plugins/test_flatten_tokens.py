from __future__ import annotations

import pytest
import torch
from rewrite_plugins.flatten_tokens import FlattenTokens
from rewrite_plugins.lay_out_linear import LayOutLinear
from torch import nn
from torch.export import Dim
from torch.nn import functional

from rewrite.testing import check_declines, check_pass, randomise_

from .models import GOLDEN, Call, captured, ops, randn, run

FLATTEN = FlattenTokens()
BATCHED = FlattenTokens(form="batched")
X = randn(2, 3, 4)
DYNAMIC = {"inputs": ({0: Dim("batch", min=1, max=64), 1: Dim("length", min=2, max=64)},)}


def gemms(forward, x: torch.Tensor = X, dynamic=None, **members):
    """Capture a model and lay its linear layers out as reshape → Gemm → reshape."""
    torch.manual_seed(0)
    model = randomise_(Call(forward, **members))
    return run(captured(model, x, dynamic=dynamic), LayOutLinear(form="gemm"))


def up() -> nn.Module:
    return nn.Linear(4, 6)


def down() -> nn.Module:
    return nn.Linear(6, 4)


def reshapes(program) -> int:
    return ops(program).count("reshape")


@pytest.mark.parametrize(
    "function",
    [
        functional.gelu,
        functional.relu,
        functional.silu,
        functional.leaky_relu,
        functional.elu,
        functional.mish,
        functional.softplus,
        functional.hardtanh,
        functional.hardswish,
        functional.hardsigmoid,
        torch.tanh,
        torch.sigmoid,
    ],
)
def test_activations_between_gemms_work_on_tokens(function):
    program = gemms(lambda m, x: m.down(function(m.up(x))), up=up(), down=down())
    assert reshapes(program) == 4
    program = check_pass(FLATTEN, program)
    assert ops(program)[0] == ops(program)[-1] == "reshape"
    assert reshapes(program) == 2


@pytest.mark.parametrize("dynamic", [None, DYNAMIC])
def test_a_post_norm_block_stays_flat_from_end_to_end(dynamic):
    def forward(m, x):
        x = m.norm(m.first(x))
        return m.norm(x + m.down(functional.gelu(m.up(x))) * 0.5)

    program = gemms(
        forward, dynamic=dynamic, first=nn.Linear(4, 4), up=up(), down=down(), norm=nn.LayerNorm(4)
    )
    golden = GOLDEN / f"flatten-tokens-block{'-dynamic' if dynamic else ''}.txt"
    check_pass(FLATTEN, program, golden=golden)


def test_the_residual_of_the_input_is_flattened_once():
    def forward(m, x):
        return m.last(m.down(m.up(x)) + x)

    program = gemms(forward, up=up(), down=down(), last=nn.Linear(4, 4))
    program = check_pass(FLATTEN, program, golden=GOLDEN / "flatten-tokens-residual.txt")
    assert reshapes(program) == 2


@pytest.mark.parametrize("shape", [(), (1,), (6,)])
def test_scalars_and_vectors_are_added_to_tokens(shape):
    program = gemms(lambda m, x: m.down(m.up(x) * m.v), up=up(), down=down(), v=torch.rand(shape))
    assert reshapes(check_pass(FLATTEN, program)) == 2


def test_the_other_side_may_come_last():
    def forward(m, x):
        y = m.norm(x.flatten(1, 2)).reshape(2, 3, 2, 4)
        return y + x.softmax(1)

    program = captured(Call(forward, norm=nn.LayerNorm(4)), randn(2, 3, 2, 4))
    program = check_pass(BATCHED, program)
    assert ops(program) == ["reshape", "layer_norm", "softmax", "reshape", "add", "reshape"]


def products(forward, x: torch.Tensor, **members):
    """Capture a model and lay its linear layers out as MatMul and Add."""
    torch.manual_seed(0)
    model = randomise_(Call(forward, **members))
    return run(captured(model, x), LayOutLinear(form="matmul"))


def test_products_of_batched_tokens_stay_in_three_dimensions():
    def forward(m, x):
        return m.down(functional.gelu(m.up(x.view(2, 3, 2, 4)))).flatten(1, 2)

    program = products(forward, randn(2, 6, 4), up=up(), down=down())
    program = check_pass(BATCHED, program)
    assert ops(program) == ["matmul", "add", "gelu", "matmul", "add"]


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        (lambda m, x: (y := x.view(2, 3, 2, 4)) @ y.mT, "its weight is no matrix"),
        (lambda m, x: m.up(x), "its input is not un-flattened tokens"),
        (lambda m, x: m.up(x.view(3, 4, 1, 4)), "its input is not un-flattened tokens"),
    ],
)
def test_what_is_no_product_of_batched_tokens_stays(forward, reason):
    program = products(forward, randn(2, 6, 4), up=up())
    assert check_declines(BATCHED, program, reason=reason).text() == program.text()


def test_a_subtraction_keeps_its_order():
    program = gemms(lambda m, x: m.down(m.up(x) - m.up(x + 1)), up=up(), down=down())
    assert reshapes(check_pass(FLATTEN, program)) == 3


def test_the_reshape_stays_where_the_layout_matters():
    program = gemms(lambda m, x: m.down(m.up(x).relu()).mean(1), up=up(), down=down())
    assert ops(check_pass(FLATTEN, program))[-2:] == ["reshape", "mean"]


def declines(program, reason: str) -> None:
    assert check_declines(FLATTEN, program, reason=reason).text() == program.text()


@pytest.mark.parametrize("shape", [(3, 6), (1, 3, 6), (2, 3, 1)])
def test_what_differs_between_tokens_is_not_moved(shape):
    program = gemms(
        lambda m, x: m.down(m.up(x) + m.table), up=up(), down=down(), table=randn(*shape)
    )
    declines(program, "the other input is broadcast over tokens")


def test_a_vector_that_widens_the_tokens_is_not_moved():
    program = gemms(lambda m, x: m.up(x) + m.v, up=nn.Linear(4, 1), v=randn(5))
    declines(program, "the other input is broadcast over tokens")


def test_a_norm_over_tokens_and_channels_is_not_moved():
    program = gemms(
        lambda m, x: m.down(m.norm(m.up(x))), up=up(), down=down(), norm=nn.LayerNorm((3, 6))
    )
    declines(program, "it normalises more than the last dimension")


def test_a_norm_whose_reader_needs_the_layout_is_not_moved():
    def forward(m, x):
        return m.norm(m.up(x)).permute(0, 2, 1).softmax(-1)

    declines(gemms(forward, up=up(), norm=nn.LayerNorm(6)), "a reader needs the un-flattened form")


def test_a_softmax_over_tokens_is_not_moved():
    program = gemms(lambda m, x: m.down(m.up(x).softmax(1)), up=up(), down=down())
    assert check_declines(FLATTEN, program).text() == program.text()


def test_a_reshape_that_splits_channels_is_not_passed():
    def forward(m, x):
        return functional.relu(m.up(x.flatten(0, 1)).view(2, 3, 2, 3))

    declines(gemms(forward, up=up()), "its input is not un-flattened tokens")


def test_no_tokens_is_a_reason():
    program = captured(Call(lambda m, x: functional.relu(x) + 1), X)
    declines(program, "its input is not un-flattened tokens")
    declines(program, "neither input is un-flattened tokens")
