"""Data and weights that are not as they should be: each is told or survived."""

from __future__ import annotations

import pytest
import torch
from rewrite_plugins.calibrate import Calibrate
from torch import nn
from torch.export import Dim

from rewrite import CheckError, UsageError
from rewrite.pipeline import run_passes
from rewrite.quantization.spec import MIN_SCALE

from .models import Call, context, outcome, randn, run
from .test_calibrate import X, batches, conv, marked, scale_of

METHODS = ["min-max", "moving-average", "percentile", "entropy", "mse", "auto"]


def damaged(value: float, number: int = 1):
    data = batches(4)
    data[number][0][0, 0, 0, 0] = value
    return data


def assert_same(one, two):
    for name, tensor in one.used_weights():
        assert torch.equal(tensor, two.weight(name)), name


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("method", METHODS)
def test_nan_is_refused_and_named(value, method):
    with pytest.raises(CheckError) as caught:
        run(marked(conv(), X), Calibrate(method=method), context=context(damaged(value)))
    assert caught.value.what == (
        "calibration batch 2: tensor 'input_1.activation' holds NaN or infinite values"
    )
    assert "calibrate{nan=skip}" in str(caught.value.hint)
    assert caught.value.where


@pytest.mark.parametrize("method", METHODS)
def test_a_skipped_batch_leaves_no_trace(method):
    data = damaged(torch.nan)
    pass_ = Calibrate(method=method, nan="skip")
    result = run_passes(marked(conv(), X), [pass_], context(data))
    good = [data[0], *data[2:]]
    assert_same(
        result.program, run(marked(conv(), X), Calibrate(method=method), context=context(good))
    )
    found = result.reports[0].outcome
    assert found.measures["batches"] == 3
    assert found.notes[0] == (
        "left out: calibration batch 2: tensor 'input_1.activation' holds NaN or infinite values"
    )


def test_a_batch_that_overflows_half_way_leaves_no_trace_either():
    """The input is finite and was observed before the sum is found to be infinite."""
    model = Call(lambda m, x: m.b(m.a(x)), a=nn.Linear(4, 4), b=nn.Linear(4, 4))
    with torch.no_grad():
        model.a.weight.fill_(1.0)
    good = [(randn(2, 4, seed=seed),) for seed in range(3)]
    data = [*good[:1], (torch.full((2, 4), 3e38),), *good[1:]]
    pass_ = Calibrate(nan="skip", method="percentile")
    skipped = run(marked(model, good[0][0]), pass_, context=context(data))
    assert_same(
        skipped,
        run(marked(model, good[0][0]), Calibrate(method="percentile"), context=context(good)),
    )


def test_nothing_is_left_when_every_batch_is_skipped():
    data = [(torch.full_like(X, torch.nan),)] * 2
    with pytest.raises(CheckError, match="no calibration batch is left"):
        run(marked(conv(), X), Calibrate(nan="skip"), context=context(data))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [3.0, -3.0, 0.0, 1e-45, 1e30])
def test_constant_tensors(method, value):
    data = torch.full_like(X, value)
    program = run(marked(conv(), data), Calibrate(method=method), context=context([(data,)]))
    scale, zero_point = scale_of(program, "input_1_activation")
    if abs(value) > 1e-30 or value == 0:
        shown = float(torch.tensor(value / scale).round().clamp(-zero_point, 255 - zero_point))
        assert shown * scale == pytest.approx(value, rel=2e-3)
    assert MIN_SCALE <= scale < float("inf")


@pytest.mark.parametrize("method", METHODS)
def test_all_negative_tensors(method):
    data = -X.abs() - 1
    program = run(marked(conv(), data), Calibrate(method=method), context=context([(data,)]))
    scale, zero_point = scale_of(program, "input_1_activation")
    assert zero_point == 255
    assert 0.4 * float(-data.min()) < 255 * scale <= 1.001 * float(-data.min())


@pytest.mark.parametrize("method", METHODS)
def test_a_channel_that_is_zero_in_weight_and_data(method):
    model = conv()
    with torch.no_grad():
        model.weight[2] = 0.0
    data = X.clone()
    data[:, 1] = 0.0
    program = run(marked(model, data), Calibrate(method=method), context=context([(data,)]))
    assert not program.weight("weight_int8")[2].any()
    assert float(program.weight("weight_scale")[2]) == 1.0
    shown = program(data)[:, 2]
    torch.testing.assert_close(
        shown, torch.full_like(shown, model.bias[2].item()), atol=2e-2, rtol=0
    )


@pytest.mark.parametrize("method", METHODS)
def test_scales_do_not_underflow(method):
    """Steps of denormal size would be flushed to zero by runtimes that divide by them."""
    data = X * 1e-42
    program = run(marked(conv(), data), Calibrate(method=method), context=context([(data,)]))
    scale, _ = scale_of(program, "input_1_activation")
    assert scale == MIN_SCALE
    assert torch.isfinite(program(data)).all()


def test_a_bias_beyond_int32_gets_a_coarser_weight():
    model = conv()
    with torch.no_grad():
        model.bias[1] = 1e12
    program = run(marked(model, X), Calibrate(), context=context(batches()))
    steps = program.weight("bias_int32")
    assert int(steps.abs().max()) <= 1.001 * 2**30
    shown = program(X)[:, 1]
    torch.testing.assert_close(shown, torch.full_like(shown, 1e12), rtol=1e-2, atol=0)


def test_a_weight_that_two_layers_share_suits_the_one_with_the_greater_need():
    """The inputs differ a thousandfold, so the finer one's bias wants the coarser weight."""
    torch.manual_seed(0)
    layer = nn.Linear(4, 4)
    with torch.no_grad():
        layer.weight[0] *= 1e-6
        layer.bias[0] = 5.0
    model = Call(lambda m, x, y: m.layer(x) + m.layer(y), layer=layer)
    inputs = (randn(3, 4), randn(3, 4, seed=1) * 1e-3)
    program = run(marked(model, *inputs), Calibrate(), context=context([inputs]))
    weights = [name for name, _ in program.used_weights() if name.startswith("layer.weight_int8")]
    assert weights == ["layer.weight_int8"]
    steps = {n: t for n, t in program.used_weights() if n.startswith("layer.bias_int32")}
    assert len(steps) == 2 and all(int(t.abs().max()) <= 1.001 * 2**30 for t in steps.values())
    with torch.no_grad():
        expected = model(*inputs)
    torch.testing.assert_close(program(*inputs), expected, atol=0.05, rtol=0.02)


def test_a_tensor_that_is_read_quantized_and_returned():
    """Its range is the same with and without the second reader, and what is returned is close."""
    torch.manual_seed(0)
    layers = {"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)}

    def both(m, x):
        hidden = m.a(x).relu()
        return hidden, m.b(hidden)

    model = Call(both, **layers)
    alone = Call(lambda m, x: m.b(m.a(x).relu()), **layers)
    data = [(randn(5, 4, seed=seed),) for seed in range(3)]
    program = run(marked(model, data[0][0]), Calibrate(), context=context(data))
    other = run(marked(alone, data[0][0]), Calibrate(), context=context(data))
    (scale,), (expected,) = (
        [t for n, t in p.used_weights() if n.startswith("qdq.relu") and n.endswith("scale")]
        for p in (program, other)
    )
    assert torch.equal(scale, expected)
    with torch.no_grad():
        exact = both(model, data[0][0])
    shown = program(data[0][0])
    for mine, theirs in zip(shown, exact, strict=True):
        torch.testing.assert_close(mine, theirs, atol=4 * float(scale), rtol=0)


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    settings = context(batches())
    settings.device = "cuda"
    with pytest.raises(UsageError, match="there is no device 'cuda'"):
        run(marked(conv(), X), Calibrate(), context=settings)


def test_statistics_are_computed_where_the_values_are(monkeypatch):
    """Every tensor on the way is on the device: weights, batches, constants the graph makes."""
    from rewrite import device

    moved = []

    class Noting(device.DeviceInterpreter):
        def move(self, value):
            moved.append(type(value).__name__)
            return super().move(value)

    monkeypatch.setattr("rewrite.quantization.observe.DeviceInterpreter", Noting)

    def counted(m, x):
        return m.a(x) + torch.arange(x.shape[0], device=x.device)[:, None]

    model = Call(counted, a=nn.Linear(4, 4))
    data = [(randn(3, 4),)]
    program = marked(model, data[0][0], dynamic={"inputs": ({0: Dim("batch", min=2)},)})
    found = outcome(program, Calibrate(), context(data))
    assert found.measures["tensors"] >= 1
    assert {"Tensor", "Parameter", "device"} <= set(moved)
