import pytest
import torch

from rewrite.canonical.aliases import ALIAS_RULES

from .programs import Call, canonical, ops, randn, reasons

X = (randn(3, 4),)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda m, x: torch.concat([x, x], 1), "cat"),
        (lambda m, x: torch.concatenate([x, x]), "cat"),
        (lambda m, x: torch.clip(x, -0.5, 0.5), "hardtanh"),
        (lambda m, x: torch.clip(x, min=-0.5), "clamp"),
        (lambda m, x: torch.divide(x, 2), "div"),
        (lambda m, x: torch.divide(x, 2, rounding_mode="floor"), "div"),
        (lambda m, x: torch.greater_equal(x, 0.5), "ge"),
        (lambda m, x: torch.negative(x), "neg"),
        (lambda m, x: torch.linalg.matmul(x, x.T @ x @ x.T @ x), "matmul"),
        (lambda m, x: torch.special.expit(x), "sigmoid"),
        (lambda m, x: torch.special.softmax(x, 1), "softmax"),
        (lambda m, x: torch.hstack([x, x]), "cat"),
        (lambda m, x: torch.hstack([x[0], x[1]]), "cat"),
        (lambda m, x: torch.vstack([x, x]), "cat"),
        (lambda m, x: torch.vstack([x[0], x[1]]), "stack"),
        (lambda m, x: torch.column_stack([x[0], x[1]]), "stack"),
    ],
)
def test_one_name(function, name):
    assert name in ops(canonical(Call(function), X))


def test_vectors_beside_matrices_stay():
    function = Call(lambda m, x: torch.vstack([x, x[0]]))
    assert "its tensors differ in dimensions" in str(reasons(ALIAS_RULES, function, X))
