"""Resizing at sizes that the factor does not divide."""

import pytest
import torch
import torch.nn.functional as F
from rewrite_plugins.lowerings.resize import nearest

from rewrite import CheckError, capture

from .models import OPSET, Call, assert_agrees, lowered

SIZES = ((12, 10), (7, 9), (13, 21), (25, 8))
DYNAMIC = ({2: torch.export.Dim("h", min=4, max=64), 3: torch.export.Dim("w", min=4, max=64)},)
SMOOTH = {
    "bilinear": {"mode": "bilinear"},
    "bicubic": {"mode": "bicubic"},
    "corners": {"mode": "bilinear", "align_corners": True},
}
ROUGH = ("nearest", "nearest-exact")
TARGETS = ({"scale_factor": 0.5}, {"size": (5, 17)})


def image(*sizes):
    return torch.randn(2, 3, *sizes, generator=torch.Generator().manual_seed(sum(sizes)))


def holds_at_every_size(function, folder):
    program = capture(Call(function).eval(), (image(*SIZES[0]),), DYNAMIC)
    for sizes in SIZES:
        assert_agrees(program, folder, OPSET, image(*sizes))


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_resizes_read_where_torch_reads(name, tmp_path):
    options = SMOOTH[name]
    holds_at_every_size(
        lambda x: tuple(F.interpolate(x, **options, **target) for target in TARGETS), tmp_path
    )


@pytest.mark.parametrize("mode", ROUGH)
def test_the_nearest_is_the_one_that_torch_takes(mode, tmp_path):
    targets = (*TARGETS, {"scale_factor": 1.7}, {"scale_factor": 0.6}, {"scale_factor": 3.0})
    holds_at_every_size(
        lambda x: tuple(F.interpolate(x, mode=mode, **target) for target in targets), tmp_path
    )


@pytest.mark.parametrize("mode", ROUGH)
def test_the_nearest_does_not_fall_to_the_other_side_by_rounding(mode, tmp_path):
    """ONNX's Resize takes another element at these sizes: 14 → 46, 21 → 3, 4 → 41."""
    line = torch.arange(84.0)
    sizes = ((14, 46), (21, 3), (4, 41), (20, 48))
    program = capture(
        Call(
            lambda x: tuple(
                F.interpolate(x[None, None, :given], wanted, mode=mode) for given, wanted in sizes
            )
        ).eval(),
        (line,),
    )
    assert_agrees(program, tmp_path)


@pytest.mark.parametrize("mode", ROUGH)
def test_whole_factors_are_one_resize(mode):
    program = capture(
        Call(lambda x: F.interpolate(x, scale_factor=2, mode=mode)).eval(), (image(6, 5),)
    )
    assert "Resize" in lowered(program).ops()
    assert nearest.__doc__


def test_a_size_that_float32_rounds_otherwise_is_refused_with_its_line():
    resize = Call(lambda x: F.interpolate(x, scale_factor=0.57, mode="bilinear"))
    program = capture(resize.eval(), (image(100, 100),))
    with pytest.raises(CheckError, match="upsample_bilinear2d") as caught:
        lowered(program)
    assert "test_resize.py" in str(caught.value.where)
