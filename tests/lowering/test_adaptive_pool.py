"""Adaptive pools: right at every size, in value and in place."""

import pytest
import torch
import torch.nn.functional as F

from rewrite import capture

from .models import OPSET, Call, assert_agrees, lowered

SIZES = {
    1: [(12,), (7,), (24,), (4,)],
    2: [(12, 10), (7, 9), (24, 13), (4, 5)],
    3: [(6, 7, 8), (5, 9, 4)],
}
WINDOWS = (5, 3, 2)


def pools(spatial):
    """Return a model of the average, the maximum and its places, in uneven windows."""
    average = getattr(F, f"adaptive_avg_pool{spatial}d")
    maximum = getattr(F, f"adaptive_max_pool{spatial}d")
    count = WINDOWS[:spatial]
    return Call(lambda x: (average(x, count), *maximum(x, count, return_indices=True))).eval()


def image(*sizes, batch=2):
    return torch.randn(batch, 3, *sizes, generator=torch.Generator().manual_seed(sum(sizes)))


def dynamic(spatial):
    sizes = {2 + i: torch.export.Dim(f"s{i}", min=4, max=64) for i in range(spatial)}
    return ({0: torch.export.Dim("batch", max=16), **sizes},)


@pytest.mark.parametrize("spatial", SIZES)
def test_uneven_windows_of_a_fixed_size(spatial, tmp_path):
    program = capture(pools(spatial), (image(*SIZES[spatial][0]),))
    assert_agrees(program, tmp_path)


@pytest.mark.parametrize("spatial", SIZES)
def test_windows_are_computed_from_sizes_known_at_run_time(spatial, tmp_path):
    program = capture(pools(spatial), (image(*SIZES[spatial][0]),), dynamic(spatial))
    for sizes in SIZES[spatial]:
        assert_agrees(program, tmp_path, OPSET, image(*sizes, batch=3))


def test_area_resize_has_windows_of_every_size(tmp_path):
    halve = Call(lambda x: F.interpolate(x, scale_factor=0.5, mode="area")).eval()
    program = capture(halve, (image(12, 10),), dynamic(2))
    for sizes in SIZES[2]:
        assert_agrees(program, tmp_path, OPSET, image(*sizes))


def test_one_window_of_an_axis_is_its_mean(tmp_path):
    program = capture(Call(lambda x: F.adaptive_avg_pool2d(x, (1, 3))).eval(), (image(7, 8),))
    assert_agrees(program, tmp_path)
    assert "ReduceMean" in lowered(program).ops()
