"""Batch norms between integers become convolutions; those beside floats are left alone."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from rewrite_plugins.calibrate import Calibrate
from rewrite_plugins.convolve_batch_norm import ConvolveBatchNorm
from rewrite_plugins.fold_batch_norm import FoldBatchNorm
from rewrite_plugins.insert_quantizers import InsertQuantizers
from rewrite_plugins.presets import INT8
from torch import nn
from torch.nn import functional as F

from rewrite import Context, UsageError
from rewrite.job import choose_passes
from rewrite.lowering.lower import lower, save
from rewrite.plugin_host import PluginHost
from rewrite.request import Request
from rewrite.runtimes import get_runtime
from rewrite.testing import check_declines, check_pass, randomise_

from .models import GOLDEN, Call, captured, context, ops, outcome, randn, read_weights, run, target

CONVOLVE = ConvolveBatchNorm()
IMAGE = randn(2, 6, 9, 9)


def layer(rank: int = 2, width: int = 6) -> nn.Module:
    kind = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[rank]
    return kind(width, width, 3, padding=1)


def norm(rank: int = 2, width: int = 6) -> nn.Module:
    return {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[rank](width)


def net(function, **members) -> nn.Module:
    """A model with randomised statistics that calls a function with itself and its input."""
    torch.manual_seed(0)
    made = Call(function)
    for name, member in members.items():
        setattr(made, name, member)
    return randomise_(made)


def ahead(norms: int = 1, rank: int = 2) -> nn.Module:
    """Activation and norm before the convolution, as in DenseNet: nothing folds."""
    return net(
        lambda m, x: m.last(m.norm(m.first(x).relu()).relu()),
        first=layer(rank),
        norm=norm(rank),
        last=layer(rank),
    )


CASES = {
    "ahead": ahead(),
    "joined": net(
        lambda m, x: m.last(
            m.norm(torch.cat([F.max_pool2d(y := m.first(x).relu(), 3, 1, 1), y], 1)).relu()
        ),
        first=layer(),
        norm=norm(width=12),
        last=nn.Conv2d(12, 3, 1),
    ),
    "branch": net(
        lambda m, x: m.last((m.dense(y := m.first(x).relu()) + m.norm(y)).relu()),
        first=layer(),
        dense=layer(),
        norm=norm(),
        last=layer(),
    ),
    "two in a row": net(
        lambda m, x: m.last(m.second(m.norm(m.first(x).relu()).relu()).relu()),
        first=layer(),
        norm=norm(),
        second=norm(),
        last=layer(),
    ),
}
DECLINES = {
    "input": (
        net(lambda m, x: m.last(m.norm(x).relu()), norm=norm(), last=layer()),
        IMAGE,
        "what it reads is float",
    ),
    "float activation": (
        net(lambda m, x: m.last(m.norm(F.silu(m.first(x))).relu()), first=layer(), norm=norm(),
            last=layer()),
        IMAGE,
        "what it reads is float",
    ),
    "output": (
        net(lambda m, x: m.norm(m.first(x).relu()), first=layer(), norm=norm()),
        IMAGE,
        "no int8 kernel reads what it gives",
    ),
    "rows": (
        net(lambda m, x: m.last(m.norm(m.first(x).relu()).relu()), first=nn.Linear(6, 6),
            norm=norm(1), last=nn.Linear(6, 6)),
        randn(4, 6),
        "it has no space: a linear layer",
    ),
    "computed": (
        net(lambda m, x: m.last(F.batch_norm(y := m.first(x).relu(), y.mean((0, 2, 3)),
                                             torch.ones(6)).relu()),
            first=layer(), last=layer()),
        IMAGE,
        "its running_mean is computed at run time",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_norm_between_integers_is_a_convolution(case):
    golden = GOLDEN / f"convolve-batch-norm-{case.replace(' ', '-')}.txt"
    program = check_pass(CONVOLVE, CASES[case], (IMAGE,), golden=golden, target=target())
    assert "batch_norm" not in ops(program)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_norms_of_every_rank(rank):
    program = check_pass(CONVOLVE, ahead(rank=rank), (randn(2, 6, *[5] * rank),), target=target())
    assert ops(program).count(f"conv{rank}d") == 3


@pytest.mark.parametrize("case", DECLINES)
def test_it_declines(case):
    model, x, reason = DECLINES[case]
    check_declines(CONVOLVE, model, (x,), reason=reason, target=target())


def test_a_layer_that_gives_floats_is_none_between_integers():
    conv = dataclasses.replace(target().ops["conv"], output=None)
    other = dataclasses.replace(target(), ops={**target().ops, "conv": conv})
    check_declines(CONVOLVE, ahead(), (IMAGE,), reason="what it reads is float", target=other)


def uneven(model: nn.Module) -> nn.Module:
    """Let one channel of a norm be a thousandth of the others."""
    model.norm.running_mean.zero_()
    model.norm.running_var.fill_(1.0)
    model.norm.running_var[0] = 1e-6
    return model


def behind_a_join() -> nn.Module:
    """A concatenation, which is stored as integers for the norm's sake alone."""
    return net(
        lambda m, x: m.last(m.norm(torch.cat([m.first(x).relu(), m.other(x).relu()], 1)).relu()),
        first=layer(),
        other=layer(),
        norm=norm(width=12),
        last=nn.Conv2d(12, 3, 1),
    )


def test_small_channels_are_not_drowned():
    model = behind_a_join()
    check_pass(CONVOLVE, model, (IMAGE,), target=target(), rewrites=1)
    reason = "its channels are so uneven that integers in front of it would leave"
    check_declines(CONVOLVE, uneven(model), (IMAGE,), reason=reason, target=target())


def test_what_is_stored_as_integers_anyway_may_be_uneven():
    model = uneven(ahead())
    check_pass(CONVOLVE, model, (IMAGE,), target=target(), rewrites=1)


def pooled(lowest: float) -> nn.Module:
    """A norm that only a max pool reads, one of its scales being `lowest`."""
    model = net(
        lambda m, x: m.last(F.max_pool2d(m.norm(m.first(x).relu()), 2)),
        first=layer(),
        norm=norm(),
        last=layer(),
    )
    model.norm.weight.data.abs_()
    model.norm.weight.data[1] = lowest
    return model


def test_a_norm_in_front_of_a_max_pool():
    check_pass(CONVOLVE, pooled(0.5), (IMAGE,), target=target(), rewrites=1)
    reason = "a max pool reads it, and drops what widens its range: 1 of 6 channels"
    check_declines(CONVOLVE, pooled(-0.5), (IMAGE,), reason=reason, target=target())


def test_a_norm_that_more_than_a_max_pool_reads():
    model = pooled(-0.5)
    model.forward = lambda x: (
        y := model.norm(model.first(x).relu()),
        model.last(F.max_pool2d(y, 2)),
        model.last(y),
    )
    check_pass(CONVOLVE, model, (IMAGE,), target=target(), rewrites=1)


def test_a_norm_that_stays_float_takes_the_integers_from_the_next():
    model = uneven(
        net(
            lambda m, x: m.last(
                m.second(m.norm(torch.cat([m.first(x).relu(), m.other(x).relu()], 1)).relu()).relu()
            ),
            first=layer(),
            other=layer(),
            norm=norm(width=12),
            second=norm(width=12),
            last=nn.Conv2d(12, 3, 1),
        )
    )
    found = outcome(captured(model, IMAGE), CONVOLVE, context())
    first, second = sorted(found.rejected, key=lambda r: r.node)
    assert "its channels are so uneven" in first.reason
    assert second.reason == "what it reads is float"


def test_statistics_that_are_no_numbers_do_not_stop_it():
    """Such a model gives NaN before and after."""
    model = uneven(behind_a_join())
    model.norm.running_mean[1] = torch.inf
    assert outcome(captured(model, IMAGE), CONVOLVE, context()).rewrites == 1


def test_a_norm_called_twice_is_two_convolutions_of_equal_weights():
    model = net(
        lambda m, x: m.last(m.norm(m.second(m.norm(m.first(x).relu()).relu()).relu()).relu()),
        first=layer(),
        norm=norm(),
        second=layer(),
        last=layer(),
    )
    check_pass(CONVOLVE, model, (IMAGE,), target=target(), rewrites=2)


def test_a_norm_whose_result_is_also_an_output():
    model = net(
        lambda m, x: (y := m.norm(m.first(x).relu()), m.last(y.relu())),
        first=layer(),
        norm=norm(),
        last=layer(),
    )
    check_pass(CONVOLVE, model, (IMAGE,), target=target(), rewrites=1)


def test_images_of_any_size():
    batch, height = torch.export.Dim("batch"), torch.export.Dim("height", min=4, max=64)
    shapes = (({0: batch, 2: height},),)
    check_pass(CONVOLVE, ahead(), (IMAGE,), target=target(), dynamic_shapes=shapes, rewrites=1)


def test_a_program_without_norms_is_told():
    found = outcome(captured(layer(), IMAGE), CONVOLVE, context())
    assert found.nothing == "the program has no batch_norm"


def test_it_needs_a_target():
    with pytest.raises(UsageError, match="needs a target"):
        CONVOLVE.run(captured(ahead(), IMAGE), Context())


def test_factors_of_channels_lose_nothing_as_integers():
    """At a scale of its own each factor is ±127; the error is that of activations alone."""
    program = run(captured(ahead(), IMAGE), CONVOLVE, context=context())
    quantized = run(program, InsertQuantizers(), Calibrate(), context=context([(IMAGE,)]))
    stored = [quantized.weight(name) for name in read_weights(quantized)]
    (factors,) = [w for w in stored if w.dtype == torch.int8 and w.shape == (6, 1, 1, 1)]
    assert factors.abs().unique().tolist() == [127]


@pytest.mark.parametrize("name", ["ort-x64", "portable", "openvino"])
def test_presets_have_it_where_the_runtime_gains(name):
    host = PluginHost()
    chosen = choose_passes(host, Request("model.py", preset=INT8.name, target=name))
    names = [each.name for each in chosen]
    assert ("convolve-batch-norm" in names) is (name != "openvino")
    if name != "openvino":
        place = names.index("convolve-batch-norm")
        assert names.index("fold-batch-norm") < place < names.index("insert-quantizers")


def test_all_of_it_runs_on_integers(tmp_path):
    model, passes = CASES["branch"], (FoldBatchNorm(), CONVOLVE, InsertQuantizers(), Calibrate())
    program = run(captured(model, IMAGE), *passes, context=context([(IMAGE,)]))
    path = tmp_path / "model.onnx"
    save(lower(program, 20, {}, {}).model, path)
    verdicts = get_runtime("onnxruntime").load(path, threads=1).kernels()
    assert [v.op for v in verdicts] == ["Conv"] * 4
    assert all(v.fired for v in verdicts)
