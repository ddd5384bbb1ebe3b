"""Dynamic shapes that do not fit the inputs: what is said."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rewrite import CaptureError, capture

BATCH, TOKENS = torch.export.Dim("batch", max=32), torch.export.Dim("tokens", max=64)


class Model(nn.Module):
    def forward(self, x, pairs, scale=None):
        return x * pairs["a"][0] + (0 if scale is None else scale)


def inputs():
    return {"x": torch.randn(2, 5), "pairs": {"a": [torch.randn(2, 1)]}, "scale": torch.randn(1)}


def captured(shapes):
    return capture(Model().eval(), inputs(), shapes)


@pytest.mark.parametrize(
    ("shapes", "what", "hint"),
    [
        ({"z": {0: BATCH}}, "has 'z', which is no input", "the inputs are: x, pairs, scale"),
        ({"x": {2: BATCH}}, "has axis 2 for 'x', whose axes are 0 to 1", "one entry for each"),
        ({"x": {-1: BATCH}}, "has axis -1 for 'x'", "one entry for each"),
        ({"x": {0: "batch"}}, "has 'batch' for axis 0 of 'x'", "write torch.export.Dim('batch')"),
        ({"x": (BATCH,)}, "for 'x', which has 2 dimensions", "one entry for each"),
        ({"x": BATCH}, "for 'x', which has 2 dimensions", "one entry for each"),
        ({"pairs": {"b": None}}, "has 'pairs.b', which is no input", "one entry for each"),
        ({"pairs": {"a": [{1.5: BATCH}]}}, "has axis 1.5 for 'pairs.a.0'", "one entry for each"),
        ({"pairs": {"a": []}}, "has 0 entries for the 1 of 'pairs.a'", "one entry for each"),
        (({0: BATCH},), "has 1 entry for the inputs x, pairs, scale", "one entry for each"),
        ("batch", "is str, not a dict or a tuple", "one entry for each"),
    ],
)
def test_what_does_not_fit_is_named(shapes, what, hint):
    with pytest.raises(CaptureError) as error:
        captured(shapes)
    assert error.value.what.startswith("dynamic_shapes ") and what in error.value.what
    assert hint in str(error.value.hint)


@pytest.mark.parametrize("shapes", [None, {}, ()])
def test_no_shapes_are_none(shapes):
    assert not captured(shapes).sizes()


def test_what_is_left_out_has_fixed_sizes():
    program = captured({"x": {0: BATCH, 1: TOKENS}, "pairs": {"a": [{0: BATCH}]}})
    assert sorted(dim.name for dim, _, _ in program.sizes().values()) == ["batch", "tokens"]
    x, pairs = torch.randn(3, 7), {"a": [torch.randn(3, 1)]}
    given = {"x": x, "pairs": pairs, "scale": torch.randn(1)}
    torch.testing.assert_close(program(**given), Model()(**given))
