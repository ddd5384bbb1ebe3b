"""Architectures of `transformers`, of which this project knows no name."""

import pytest
import torch

pytest.importorskip("transformers")

from .programs import assert_same, ops, raw
from .transformers_cases import CASES
from .transformers_models import Case, dynamic, example

FLOAT32_CONSTANTS = 1e-6
"""What is folded from weights is rounded to float32 once, as the model itself rounds it."""
WRITTEN_OUT = (
    "addmm", "mm", "bmm", "baddbmm", "einsum", "softmax", "erf", "rsqrt", "sqrt", "var", "tanh",
    "pow", "transpose", "t", "view", "_unsafe_view", "clone", "contiguous", "dropout", "split",
    "split_with_sizes", "unbind", "chunk", "_native_batch_norm_legit_no_training", "_weight_norm",
    "_assert_tensor_metadata", "alias", "detach",
)  # fmt: skip
FOLDED = ("wav2vec2", "detr")


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("case", "implementation"),
    [pytest.param(c, i, id=f"{c.name}-{i}") for c in CASES for i in c.implementations],
)
def test_canonical_form(case: Case, implementation: str):
    from rewrite.canonical import canonicalise

    model = case.build(implementation)
    before = raw(model, example(case.inputs), dynamic(case.inputs))
    after = before.clone()
    canonicalise(after)
    assert_same(before, after, FLOAT32_CONSTANTS if case.name in FOLDED else 1e-10)
    found = ops(after)
    assert found["scaled_dot_product_attention"] == case.attentions
    assert {op: found[op] for op in WRITTEN_OUT if found[op]} == {}
