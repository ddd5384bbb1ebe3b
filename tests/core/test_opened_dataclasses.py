"""A model may take and return dataclasses, as many do that are no library's."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from rewrite import CaptureError, capture


@dataclasses.dataclass
class Inner:
    mean: Tensor


@dataclasses.dataclass
class Found:
    boxes: Tensor
    inner: Inner
    names: tuple[str, ...] = ("a", "b")


@dataclasses.dataclass
class Batch:
    pixels: Tensor
    scale: Tensor


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, batch):
        boxes = self.layer(batch.pixels) * batch.scale
        return Found(boxes, Inner(boxes.mean(1)))


def batch(rows):
    return Batch(torch.randn(rows, 4), torch.rand(1))


def test_tensors_of_dataclasses_are_inputs_and_outputs():
    model = Detector().eval()
    program = capture(model, (batch(3),), ([{0: Dim("rows", max=9)}, None],))
    assert program.signature.input_names == ("batch_pixels", "batch_scale")
    assert program.signature.output_names[:2] == ("boxes", "inner.mean")
    given = batch(5)
    expected, found = model(given), program(given)
    assert isinstance(found, Found) and isinstance(found.inner, Inner)
    torch.testing.assert_close(found.boxes, expected.boxes)
    torch.testing.assert_close(found.inner.mean, expected.inner.mean)
    assert found.names == ("a", "b")


@dataclasses.dataclass
class Computed:
    value: Tensor
    double: Tensor = dataclasses.field(init=False)

    def __post_init__(self):
        self.double = self.value * 2


class Computing(nn.Module):
    def forward(self, x):
        return Computed(x + 1)


def test_a_dataclass_that_cannot_be_made_of_its_fields_is_refused():
    with pytest.raises(CaptureError, match="the model returns Computed, which holds its tensors"):
        capture(Computing().eval(), (torch.randn(2),))
