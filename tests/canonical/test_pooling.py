"""Pooling of everything, and padding by name."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rewrite import capture

X = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))


class Call(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.randn(4, 3, 3, 2))

    def forward(self, x):
        return self.function(x, self.weight)


def text(function):
    module = Call(function).eval()
    program = capture(module, (X,))
    torch.testing.assert_close(program(X), module(X), rtol=1e-5, atol=1e-5)
    return program.text()


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w: F.avg_pool2d(x, 6),
        lambda x, w: F.avg_pool2d(x, (6, 6), stride=1),
        lambda x, w: F.avg_pool2d(x, 9, ceil_mode=True),
        lambda x, w: F.adaptive_avg_pool2d(x, 1),
        lambda x, w: F.adaptive_avg_pool1d(x.flatten(2), 1),
        lambda x, w: F.adaptive_avg_pool3d(x[:, :, None], 1),
    ],
    ids=["same", "stride", "larger", "adaptive", "1-D", "3-D"],
)
def test_pooling_of_everything_is_a_mean(function):
    found = text(function)
    assert "mean" in found and "avg_pool" not in found


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w: F.avg_pool2d(x, 3),
        lambda x, w: F.avg_pool2d(x, 6, padding=1),
        lambda x, w: F.avg_pool2d(x, 4, ceil_mode=True, divisor_override=2),
    ],
    ids=["smaller", "padding", "divisor"],
)
def test_other_pooling_stays(function):
    assert "avg_pool2d" in text(function)


def test_divisor_is_a_factor():
    found = text(lambda x, w: F.avg_pool2d(x, 2, padding=1, divisor_override=3))
    assert "divisor_override" not in found and "mul" in found


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w: F.adaptive_avg_pool2d(x, 1).flatten(1),
        lambda x, w: x.mean((-2, -1), keepdim=True).squeeze(),
        lambda x, w: x.mean((2, 3), keepdim=True).reshape(-1, 3),
        lambda x, w: x.mean(1, keepdim=True).squeeze(1),
    ],
    ids=["flatten", "squeeze", "reshape", "channels"],
)
def test_a_mean_does_not_keep_what_is_dropped_behind_it(function):
    found = text(function)
    assert "keepdim=True" not in found and "reshape" not in found and "squeeze" not in found


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w: x.mean((2, 3), keepdim=True) * x,
        lambda x, w: (lambda m: m.flatten(1).sum() + m * x)(x.mean((2, 3), keepdim=True)),
        lambda x, w: x.mean((2, 3), keepdim=True).reshape(1, 6),
        lambda x, w: x.mean((2, 3), keepdim=True).squeeze(-1),
    ],
    ids=["broadcast", "read twice", "rows joined", "one dimension"],
)
def test_a_mean_keeps_what_is_read(function):
    assert "keepdim=True" in text(function)


def test_adaptive_pooling_of_even_windows_has_fixed_ones():
    found = text(lambda x, w: F.adaptive_avg_pool2d(x, (3, 2)))
    assert "avg_pool2d(%x, kernel_size=[2, 3], stride=[2, 3])" in found


def test_adaptive_pooling_to_the_same_size_is_nothing():
    assert "pool" not in text(lambda x, w: F.adaptive_avg_pool2d(x, 6) * 2)


def test_adaptive_pooling_of_uneven_windows_stays():
    assert "adaptive_avg_pool2d" in text(lambda x, w: F.adaptive_avg_pool2d(x, 4))


def test_valid_padding_is_none():
    assert "valid" not in text(lambda x, w: F.conv2d(x, w, padding="valid"))


def test_even_padding_goes_into_the_convolution():
    found = text(lambda x, w: F.conv2d(x, w[..., :1], padding="same", dilation=2))
    assert "padding=[2, 0]" in found and "pad(" not in found


@pytest.mark.filterwarnings("ignore:Using padding")
def test_uneven_padding_is_put_in_front():
    found = text(lambda x, w: F.conv2d(x, w, padding="same"))
    assert "constant_pad_nd" in found or "pad(" in found
    assert "same" not in found


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w: F.avg_pool2d(x, 1, stride=2),
        lambda x, w: F.avg_pool2d(x, 2, stride=1),
    ],
    ids=["skips", "covers"],
)
def test_pooling_that_is_more_than_a_copy_stays(function):
    assert "avg_pool2d" in text(function)


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (lambda x, w: F.adaptive_max_pool2d(x, (3, 2)), "max_pool2d(%x, kernel_size=[2, 3]"),
        (lambda x, w: F.adaptive_max_pool1d(x.flatten(2), 4), "max_pool1d"),
        (lambda x, w: F.adaptive_max_pool2d(x, 1), "amax(%x, dim=[2, 3], keepdim=True)"),
    ],
    ids=["windows", "1-D", "everything"],
)
def test_adaptive_maximum_of_even_windows_has_fixed_ones(function, found):
    made = text(function)
    assert found in made and "adaptive" not in made


def test_adaptive_maximum_of_uneven_windows_stays():
    assert "adaptive_max_pool2d" in text(lambda x, w: F.adaptive_max_pool2d(x, 4))


def test_adaptive_maximum_whose_places_are_read_stays():
    def places(x, w):
        return F.adaptive_max_pool2d(x, 3, return_indices=True)[1]

    assert "adaptive_max_pool2d" in text(places)
