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


@pytest.mark.parametrize(
    ("equation", "found"),
    [
        ("bsd,dk,kl->bsl", {"linear": 2}),
        ("bsd,de,ek,kl->bsl", {"linear": 3}),
        ("bsd,dk,bse->ke", None),
        ("bsd,dk,d->bsk", None),
    ],
)
def test_more_factors_are_taken_in_pairs(equation, found):
    sizes = {"d": 8, "e": 4, "k": 2, "l": 3}
    words = equation.split("->")[0].split(",")[1:]
    weights = {
        f"w{i}": randn(*(sizes[c] for c in word), seed=i)
        for i, word in enumerate(words)
        if "b" not in word
    }

    def forward(m, x):
        factors = [getattr(m, f"w{i}", x[..., :4]) for i in range(len(words))]
        return torch.einsum(equation, x, *factors)

    program = canonical(Call(forward, **weights), X, DYNAMIC)
    assert found is None or ops(program) == found
    assert ops(program)["einsum"] < 2


def test_a_path_is_kept():
    def forward(m, x):
        factors = [x, x[0, :4], x[1, :4, :3]]
        return torch.ops.aten.einsum("bsd,td,tk->bsk", factors, path=[1, 2, 0, 1])

    program = canonical(Call(forward), X)
    assert ops(program)["einsum"] < 2
    wanted = torch.einsum("bsd,td,tk->bsk", X[0], X[0][0, :4], X[0][1, :4, :3])
    torch.testing.assert_close(program(*X), wanted)


def test_letters_of_an_ellipsis_stay():
    weights = {"a": randn(8, 2), "b": randn(2, 3)}
    module = Call(lambda m, x: torch.einsum("...d,dk,kl->...l", x, m.a, m.b), **weights)
    assert "it does not name its letters" in reasons(EINSUM_RULES, module, X)
