from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rewrite_plugins.fold_batch_norm import FoldBatchNorm
from torch import nn
from torch.nn import functional

from rewrite.equivalence import EXACT_RELATIVE_ERROR
from rewrite.testing import check_declines, check_pass, randomise_

from .models import Call, captured, ops, randn, read_weights, run

FOLD = FoldBatchNorm()


def twice(**members: nn.Module) -> nn.Module:
    def forward(m, x):
        again = m.again if hasattr(m, "again") else m.norm
        return m.norm(m.conv(x)), again(m.conv(x + 1))

    torch.manual_seed(0)
    return randomise_(Call(forward, conv=nn.Conv2d(4, 4, 3), **members))


def test_a_tie_survives_when_the_same_norm_follows():
    program = check_pass(FOLD, twice(norm=nn.BatchNorm2d(4)), (randn(2, 4, 5, 5),), rewrites=2)
    assert read_weights(program) == ["conv.weight_1", "conv.bias_1"]


def test_a_tie_is_broken_when_another_norm_follows():
    model = twice(norm=nn.BatchNorm2d(4), again=nn.BatchNorm2d(4))
    model.again.running_mean.add_(1)
    program = check_pass(FOLD, model, (randn(2, 4, 5, 5),), rewrites=2)
    assert sorted(read_weights(program)) == [
        "conv.bias_1",
        "conv.bias_2",
        "conv.weight_1",
        "conv.weight_2",
    ]


def test_a_tied_weight_read_without_a_norm_stays_as_it_was():
    model = randomise_(
        Call(
            lambda m, x: (m.norm(m.conv(x)), m.conv(x + 1)),
            conv=nn.Conv2d(4, 4, 3),
            norm=nn.BatchNorm2d(4),
        )
    )
    before = model.conv.weight.detach().clone()
    program = check_pass(FOLD, model, (randn(2, 4, 5, 5),), rewrites=1)
    assert torch.equal(program.weight("conv.weight"), before)
    assert torch.equal(model.conv.weight, before)


def test_one_weight_in_a_convolution_and_its_transpose():
    def forward(m, x):
        return m.norm(functional.conv_transpose2d(m.norm(functional.conv2d(x, m.w)), m.w))

    model = randomise_(Call(forward, norm=nn.BatchNorm2d(4), w=randn(4, 4, 3, 3)))
    program = check_pass(FOLD, model, (randn(2, 4, 5, 5),), rewrites=2)
    assert ops(program) == ["conv2d", "conv_transpose2d.input"]


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_a_layer_whose_weights_are_computed_declines(name):
    def forward(m, x, extra):
        given = {"weight": m.conv.weight, "bias": m.conv.bias}
        given[name] = given[name] * extra
        return m.norm(functional.conv2d(x, **given))

    model = randomise_(Call(forward, conv=nn.Conv2d(4, 4, 3), norm=nn.BatchNorm2d(4)))
    reason = f"the layer's {name} is computed at run time"
    check_declines(FOLD, model, (randn(2, 4, 5, 5), randn(1)), reason)


def test_statistics_that_are_computed_decline():
    def forward(m, x, mean):
        return functional.batch_norm(m.conv(x), mean, m.norm.running_var)

    model = randomise_(Call(forward, conv=nn.Conv2d(4, 4, 3), norm=nn.BatchNorm2d(4)))
    reason = "its running_mean is computed at run time"
    check_declines(FOLD, model, (randn(2, 4, 5, 5), randn(4)), reason)


OF_THE_BATCH = "it normalises with the statistics of the batch"


class HalfTrained(nn.Module):
    """A model in evaluation mode with a norm that normalises with batch statistics."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3), norm

    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        self.norm.train()
        return self

    def forward(self, x):
        return self.norm(self.conv(x))


def test_a_norm_in_training_mode_declines():
    model = HalfTrained(nn.BatchNorm2d(4))
    assert not model.eval().training and model.norm.training
    check_declines(FOLD, model, (randn(2, 4, 5, 5),), OF_THE_BATCH)


def test_running_a_program_leaves_the_statistics_of_a_norm_in_training_mode():
    model = HalfTrained(nn.BatchNorm2d(4)).eval()
    program = captured(model, randn(2, 4, 5, 5))
    before = model.norm.running_mean.clone()
    program(randn(2, 4, 5, 5))
    assert torch.equal(model.norm.running_mean, before)
    assert [name for name, _ in program.used_weights() if "running" in name] == []


def test_a_norm_without_running_statistics_declines():
    model = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))
    check_declines(FOLD, model, (randn(2, 4, 5, 5),), OF_THE_BATCH)


def test_a_linear_layer_on_sequences_declines():
    model = randomise_(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(5)))
    reason = "the linear layer's channels are its last dimension, the norm's are dimension 1"
    check_declines(FOLD, model, (randn(2, 5, 4),), reason)


@pytest.mark.parametrize("first", ["conv", "norm"])
def test_an_image_without_a_batch_declines(first):
    layers = [nn.Conv2d(4, 4, 3), nn.BatchNorm1d(4)]
    model = randomise_(nn.Sequential(*(layers if first == "conv" else reversed(layers))))
    x = randn(4, 6, 5) if first == "conv" else randn(4, 4, 5)
    check_declines(FOLD, model, (x,), "the layer's input has no batch dimension")


@st.composite
def convolutions(draw):
    groups = draw(st.sampled_from([1, 2, 3]))
    inside, outside = (groups * draw(st.integers(1, 2)) for _ in range(2))
    rank = draw(st.sampled_from([1, 2]))
    options = {
        "kernel_size": draw(st.integers(1, 3)),
        "stride": draw(st.integers(1, 2)),
        "padding": draw(st.integers(0, 2)),
        "dilation": draw(st.integers(1, 2)),
        "groups": groups,
        "bias": draw(st.booleans()),
    }
    before = draw(st.booleans())
    norm = [nn.BatchNorm1d, nn.BatchNorm2d][rank - 1]
    if draw(st.booleans()):
        layer = [nn.ConvTranspose1d, nn.ConvTranspose2d][rank - 1](inside, outside, **options)
        before = False
    else:
        layer = [nn.Conv1d, nn.Conv2d][rank - 1](inside, outside, **options)
    if before:
        layer.padding = (0,) * rank
        layers = [norm(inside), layer]
    else:
        layers = [layer, norm(outside)]
    return nn.Sequential(*layers), randn(2, inside, *[7] * rank)


@pytest.mark.slow
@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(convolutions())
def test_folding_is_exact_whatever_the_convolution(case):
    model, x = case
    model = randomise_(model).double().eval()
    program = run(captured(model, x.double()), FOLD)
    assert "batch_norm" not in program.text()
    expected = model(x.double()).detach()
    error = (program(x.double()) - expected).abs().max() / expected.abs().max()
    assert error <= EXACT_RELATIVE_ERROR
