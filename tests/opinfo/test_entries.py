"""A few entries of the operator database; `python -m tests.opinfo.sweep` runs them all."""

import numpy as np
import pytest
import torch

from .judge import difference, judge
from .samples import entries, samples

NAMES = (
    "amax",
    "atan2",
    "cummax",
    "cdist",
    "digamma",
    "index_reduce_mean",
    "kthvalue",
    "logaddexp",
    "logcumsumexp",
    "nanmedian",
    "nn_functional_adaptive_max_pool2d",
    "nn_functional_cross_entropy",
    "nn_functional_interpolate_area",
    "scatter_reduce_mean",
    "searchsorted",
    "squeeze",
)
ENTRIES = {entry.formatted_name: entry for entry in entries()}


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_agrees(name):
    row = judge(ENTRIES[name], 1)
    assert row["outcome"] == "agrees", row


def test_a_sample_is_drawn_again_with_other_values():
    (sample,) = samples(ENTRIES["addmm"], 1)
    example, other = sample.draws[:2]
    assert [t.shape for t in example] == [t.shape for t in other]
    assert not torch.equal(example[0], other[0])


@pytest.mark.parametrize(
    ("actual", "expected", "found"),
    [
        ([1.0, 2.0], [1.0, 2.1], "error"),
        ([1.0, np.inf], [1.0, 2.0], "finite"),
        ([1.0, np.inf], [1.0, -np.inf], "infinity"),
        ([[1.0]], [1.0], "shape"),
    ],
)
def test_a_difference_is_told(actual, expected, found):
    made = np.array(actual, np.float32)
    assert found in difference(made, torch.tensor(expected), None)


def test_rounding_is_no_difference():
    made = np.array([1.0, np.nan], np.float32)
    assert not difference(made, torch.tensor([1.0 + 1e-6, np.nan]), None)
