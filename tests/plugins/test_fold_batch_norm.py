from __future__ import annotations

import pytest
import torch
from rewrite_plugins.fold_batch_norm import FoldBatchNorm
from torch import nn
from torch.export import Dim

from rewrite.testing import check_declines, check_pass, randomise_

from .models import GOLDEN, Call, ops, randn, read_weights

NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
FOLD = FoldBatchNorm()


def image(rank: int = 2, channels: int = 4) -> torch.Tensor:
    return randn(2, channels, *[5] * rank)


def sequence(*layers: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return randomise_(nn.Sequential(*layers))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", ["conv", "transposed"])
@pytest.mark.parametrize("groups", [1, 2])
def test_folds_into_the_convolution_before_it(rank, kind, groups):
    torch.manual_seed(0)
    layer = {"conv": CONVS, "transposed": TRANSPOSED}[kind][rank]
    model = sequence(layer(4, 6, 3, stride=2, padding=1, groups=groups), NORMS[rank](6))
    program = check_pass(
        FOLD,
        model,
        (image(rank),),
        rewrites=1,
        golden=GOLDEN / f"fold-batch-norm-{kind}{rank}d-groups{groups}.txt",
    )
    assert len(ops(program)) == 1


def test_folds_into_a_depthwise_convolution():
    model = sequence(nn.Conv2d(4, 8, 3, groups=4, bias=False), nn.BatchNorm2d(8), nn.ReLU6())
    check_pass(FOLD, model, (image(),), rewrites=1, golden=GOLDEN / "fold-batch-norm-depthwise.txt")


def test_folds_into_a_linear_layer():
    model = sequence(nn.Linear(4, 3), nn.BatchNorm1d(3))
    golden = GOLDEN / "fold-batch-norm-linear.txt"
    check_pass(FOLD, model, (randn(5, 4),), rewrites=1, golden=golden)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_a_missing_affine_part_or_bias_counts_as_one_and_zero(affine, bias):
    model = sequence(nn.Conv2d(4, 3, 3, bias=bias), nn.BatchNorm2d(3, affine=affine))
    program = check_pass(FOLD, model, (image(),), rewrites=1)
    assert "@0.weight_1, @0.bias" in program.text()


@pytest.mark.parametrize("eps", [0.0, 1e-12, 1e-3, 10.0])
def test_every_eps_is_kept(eps):
    model = sequence(nn.Conv2d(4, 3, 1), nn.BatchNorm2d(3, eps=eps))
    check_pass(FOLD, model, (image(),), rewrites=1)


def test_a_channel_that_never_varied_is_kept():
    model = sequence(nn.Conv2d(4, 3, 1), nn.BatchNorm2d(3))
    model[1].running_var[0] = 0.0
    check_pass(FOLD, model, (image(),), rewrites=1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("bias", [True, False])
def test_new_weights_have_the_dtype_of_the_old(dtype, bias):
    model = sequence(nn.Conv2d(4, 3, 3, bias=bias), nn.BatchNorm2d(3)).to(dtype)
    program = check_pass(FOLD, model, (image().to(dtype),), rewrites=1)
    assert {program.weight(name).dtype for name in read_weights(program)} == {dtype}


def test_batch_and_image_sizes_may_be_dynamic():
    batch, width = Dim("batch", min=1, max=64), Dim("width", min=5, max=64)
    model = sequence(nn.Conv2d(4, 3, 3, stride=2), nn.BatchNorm2d(3), nn.ReLU())
    program = check_pass(
        FOLD, model, (image(),), dynamic_shapes={"input": {0: batch, 3: width}}, rewrites=1
    )
    assert "batch_norm" not in program.text()


def test_a_norm_before_a_layer_is_absorbed_without_padding():
    model = sequence(nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, groups=2, bias=False))
    golden = GOLDEN / "fold-batch-norm-consumer.txt"
    check_pass(FOLD, model, (image(),), rewrites=1, golden=golden)


def test_a_norm_before_a_linear_layer_is_absorbed():
    model = sequence(nn.BatchNorm1d(4), nn.Linear(4, 3))
    assert ops(check_pass(FOLD, model, (randn(5, 4),), rewrites=1)) == ["linear"]


def test_a_norm_that_shifts_nothing_is_absorbed_despite_padding():
    model = sequence(nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, padding=1))
    with torch.no_grad():
        model[0].running_mean.zero_()
        model[0].bias.zero_()
    assert ops(check_pass(FOLD, model, (image(),), rewrites=1)) == ["conv2d"]


def test_a_norm_before_padding_declines_for_the_border():
    model = sequence(nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, padding=1))
    check_declines(FOLD, model, (image(),), "pads with zeros, which are not normalised")


def test_a_norm_between_two_layers_goes_into_the_one_before():
    model = sequence(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    program = check_pass(FOLD, model, (image(),), rewrites=1)
    assert "@2.weight," in program.text()


def test_several_layers_absorb_one_norm():
    model = randomise_(
        Call(
            lambda m, x: (m.one(m.norm(x)), m.two(m.norm(x))),
            norm=nn.BatchNorm2d(4),
            one=nn.Conv2d(4, 3, 3, bias=False),
            two=nn.Conv2d(4, 2, 1),
        )
    )
    golden = GOLDEN / "fold-batch-norm-consumers.txt"
    check_pass(FOLD, model, (image(),), rewrites=1, golden=golden)


def test_weights_without_a_module_absorb_one_norm_each_with_its_own_bias():
    def forward(m, x):
        y = m.norm(x)
        return nn.functional.linear(y, m.first), nn.functional.linear(y, m.second)

    model = Call(forward, norm=nn.BatchNorm1d(4), first=randn(3, 4), second=randn(3, 4, seed=1))
    program = check_pass(FOLD, randomise_(model), (randn(5, 4),), rewrites=1)
    assert "@bias)" in program.text() and "@bias_1)" in program.text()


def test_one_reader_that_cannot_absorb_keeps_the_norm():
    model = randomise_(
        Call(
            lambda m, x: (m.one(m.norm(x)), m.norm(x).relu()),
            norm=nn.BatchNorm2d(4),
            one=nn.Conv2d(4, 3, 3),
        )
    )
    check_declines(FOLD, model, (image(),), "it is read by 'relu', which is no convolution")


def conv_and_norm(forward, channels: int = 4) -> nn.Module:
    torch.manual_seed(0)
    members = {"conv": nn.Conv2d(4, channels, 3), "norm": nn.BatchNorm2d(channels)}
    return randomise_(Call(forward, **members))


def test_an_output_read_elsewhere_keeps_the_norm():
    def forward(m, x):
        y = m.conv(x)
        return m.norm(y) + y.relu()

    reason = "the layer's output is also read by 'relu'"
    check_declines(FOLD, conv_and_norm(forward), (image(),), reason)


def test_an_output_that_is_returned_too_keeps_the_norm():
    def forward(m, x):
        y = m.conv(x)
        return m.norm(y), y

    reason = "the layer's output is also read by 'output'"
    check_declines(FOLD, conv_and_norm(forward), (image(),), reason)


def test_nothing_can_fold_into_an_activation():
    model = sequence(nn.Conv2d(4, 3, 3), nn.ReLU(), nn.BatchNorm2d(3))
    check_declines(FOLD, model, (image(),), "it is read by 'output', which is no convolution")


def test_a_program_without_norms_says_so():
    check_declines(FOLD, nn.ReLU(), (image(),), "the program has no batch_norm")
