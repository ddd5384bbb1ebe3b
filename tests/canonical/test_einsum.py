import pytest
import torch

from rewrite.canonical.einsum import EINSUM_RULES

from .programs import BATCH, Call, canonical, ops, randn, reasons

X = (randn(3, 5, 8),)
DYNAMIC = {"inputs": ({**BATCH, 1: torch.export.Dim("tokens", min=2, max=32)},)}


def test_attention_written_in_einsum():
    def forward(m, x):
        q, k, v = (torch.einsum("bsd,dhk->bshk", x, w) for w in (m.q, m.k, m.v))
        scores = torch.einsum("bshk,bthk->bhst", q, k) * 0.5
        mixed = torch.einsum("bhst,bthk->bshk", scores.softmax(-1), v)
        return torch.einsum("bshk,hkd->bsd", mixed, m.o)

    weights = {n: randn(8, 2, 4, seed=i) for i, n in enumerate("qkv")}
    program = canonical(Call(forward, **weights, o=randn(2, 4, 8)), X, DYNAMIC)
    found = ops(program)
    assert found["linear"] == 4
    assert found["scaled_dot_product_attention"] == 1
    assert found["einsum"] == found["matmul"] == 0


@pytest.mark.parametrize(
    ("equation", "shape", "reason"),
    [
        ("bsd,sd->bsd", (5, 8), "its weight is no matrix"),
        ("bsd,sdk->bsk", (5, 8, 2), "its weight is no matrix"),
        ("bsd,dk->bk", (8, 2), "is no plain product of two factors"),
        ("...d,dk->...k", (8, 2), "is no plain product of two factors"),
    ],
)
def test_declines(equation, shape, reason):
    module = Call(lambda m, x: torch.einsum(equation, x, m.w), w=randn(*shape))
    assert any(reason in r for r in reasons(EINSUM_RULES[:1], module, X))
    canonical(module, X, {"inputs": (BATCH,)})


def test_a_product_with_several_row_letters_declines_as_matmul():
    module = Call(lambda m, x: torch.einsum("bsd,td->bst", x, x[0]))
    assert "it has 2 row letters, not one" in reasons(EINSUM_RULES[1:], module, X)
