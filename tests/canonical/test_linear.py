import pytest
import torch
from torch import nn

from rewrite.canonical.linear import LINEAR_RULES

from .programs import BATCH, Call, canonical, ops, randn, reasons

X = (randn(3, 5, 8),)
DYNAMIC = {"inputs": (BATCH,)}


def test_conv1d_of_gpt_becomes_a_linear_with_the_matrix_transposed_once():
    def forward(m, x):
        first = torch.addmm(m.bias, x.view(-1, 8), m.weight).view(x.shape)
        return torch.addmm(m.bias, first.relu().view(-1, 8), m.weight).view(x.shape)

    program = canonical(Call(forward, weight=randn(8, 8), bias=randn(8)), X, DYNAMIC)
    assert ops(program) == {"linear": 2, "relu": 1}
    assert len({n for n, t in program.used_weights() if t.dim() == 2}) == 1


@pytest.mark.parametrize(
    "product",
    [
        lambda m, x: x @ m.weight,
        lambda m, x: x @ m.weight.t(),
        lambda m, x: x @ m.weight.transpose(0, 1),
        lambda m, x: torch.mm(x.reshape(-1, 8), m.weight).reshape(x.shape),
        lambda m, x: m.bias + x @ m.weight,
        lambda m, x: torch.einsum("bsd,de->bse", x, m.weight),
        lambda m, x: nn.functional.linear(x, m.weight) + m.bias.view(1, 1, 8),
    ],
)
def test_a_product_with_a_weight_is_one_linear(product):
    program = canonical(Call(product, weight=randn(8, 8), bias=randn(8)), X, DYNAMIC)
    assert ops(program) == {"linear": 1}


def test_a_tied_matrix_is_not_stored_twice():
    def forward(m, ids):
        return nn.functional.embedding(ids, m.table) @ m.table.t()

    ids = torch.tensor([[1, 2, 3]])
    program = canonical(Call(forward, table=randn(7, 8)), (ids,))
    assert [name for name, _ in program.used_weights()] == ["table"]


def test_products_of_two_computed_factors_are_matmul():
    def forward(m, x):
        return torch.bmm(x, x.transpose(1, 2)) + torch.baddbmm(
            x @ m.w, x, x.transpose(1, 2), beta=0.5, alpha=2.0
        )

    program = canonical(Call(forward, w=randn(8, 5)), X, DYNAMIC)
    assert ops(program)["matmul"] == 1
    assert ops(program)["linear"] == 1


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda m, x: torch.addmm(m.bias, x, m.weight, alpha=2.0), "alpha=2.0, not 1"),
        (lambda m, x: torch.addmm(x, x, m.weight), "not one value for each output"),
        (lambda m, x: torch.addmm(m.bias, x, x.exp()), "is computed, not a weight"),
        (lambda m, x: x[None] @ m.stack, "has 3 dimensions, not 2"),
        (lambda m, x: _read_twice(m, x), "read without the bias as well"),
        (lambda m, x: nn.functional.linear(x, m.weight) + m.scalar, "not one value for each"),
    ],
)
def test_declines(function, reason):
    weights = {
        "weight": randn(8, 8),
        "bias": randn(8),
        "stack": randn(1, 8, 8),
        "scalar": randn(1),
    }
    found = reasons(LINEAR_RULES, Call(function, **weights), (randn(8, 8),))
    assert any(reason in f for f in found), found


@pytest.mark.parametrize(
    "places", [torch.arange(8), torch.arange(8) > 3, torch.arange(8.0).double()]
)
def test_what_is_added_of_another_type_is_no_bias(places):
    def forward(m, x):
        return x @ m.weight + places

    program = canonical(Call(forward, weight=randn(8, 8)), X, DYNAMIC)
    assert ops(program)["linear"] == 1
    assert ops(program)["add"] == 1


def _read_twice(m, x):
    product = nn.functional.linear(x, m.weight)
    return product + m.bias, product


def test_a_flat_result_with_other_users_stays_flat():
    def forward(m, x):
        flat = nn.functional.linear(x.reshape(15, 8), m.weight)
        return flat.reshape(3, 5, 8), flat

    found = reasons(LINEAR_RULES, Call(forward, weight=randn(8, 8)), X)
    assert "its flat result has other users" in found
