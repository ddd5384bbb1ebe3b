"""A digest tells batches of calibration data apart, in constant memory."""

from __future__ import annotations

import pytest
import torch

from rewrite.quantization.data_digest import DataDigest


def digest_of(count: int, other: int = 0) -> DataDigest:
    made = DataDigest()
    for number in range(1, count + 1):
        made.add([torch.tensor([number, number == other]), None])
    return made


@pytest.mark.parametrize(
    ("count", "other", "told"),
    [
        (64, 33, "batch 33"),
        (65, 65, "batch 65"),
        (65, 64, "one of batches 63-64"),
        (1000, 1, "one of batches 1-16"),
        (1000, 999, "one of batches 993-1000"),
    ],
)
def test_a_digest_names_the_batch_in_constant_memory(count, other, told):
    kept, again, found = digest_of(count), DataDigest(), []
    assert len(kept.marks) <= 64
    for number in range(1, count + 1):
        again.add([torch.tensor([number, number == other]), None])
        found.append(kept.unlike(again))
    assert next(each for each in found if each) == told


@pytest.mark.parametrize(
    "value",
    [
        torch.zeros(4),
        torch.zeros(2, 2),
        torch.zeros(4, dtype=torch.int32),
        torch.zeros(4, dtype=torch.bfloat16),
        torch.tensor(False),
        2,
        None,
    ],
)
def test_a_digest_tells_types_and_shapes_apart(value):
    one, other = DataDigest(), DataDigest()
    one.add([value])
    other.add([torch.zeros(4, 1)])
    assert one.last != other.last
    again = DataDigest()
    again.add([value])
    assert again.last == one.last
