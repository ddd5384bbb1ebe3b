from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch
from rewrite_plugins.calibrate import Calibrate
from rewrite_plugins.insert_quantizers import InsertQuantizers
from torch import nn
from torch.export import Dim

from rewrite import CheckError, Context, UsageError
from rewrite.pipeline import run_passes
from rewrite.testing import check_pass

from .models import GOLDEN, Call, captured, context, randn, run, target

X = randn(2, 3, 4, 4)


def conv(**options) -> nn.Module:
    torch.manual_seed(0)
    return nn.Conv2d(3, 4, 1, **options)


def batches(count: int = 3) -> list[tuple[torch.Tensor]]:
    return [(randn(2, 3, 4, 4, seed=seed),) for seed in range(count)]


def marked(model: nn.Module, *inputs, dynamic=None):
    return run(captured(model, *inputs, dynamic=dynamic), InsertQuantizers(), context=context())


def scale_of(program, group: str) -> tuple[float, int]:
    """Return (scale, zero point) of a group of activations."""
    base = f"qdq.{group}"
    return float(program.weight(f"{base}.scale")), int(program.weight(f"{base}.zero_point"))


def affine(low: float, high: float) -> tuple[float, int]:
    """Return the scale and zero point of an unsigned byte, by hand."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255 or 1.0
    return float(np.float32(scale)), round(-low / scale)


def test_marks_become_scales_weights_integers_and_biases_int32():
    model = nn.Sequential(conv(), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
    golden = GOLDEN / "calibrate.txt"
    check_pass(Calibrate(), marked(model, X), context=context(batches()), golden=golden)


def test_a_float_bias_where_the_target_wants_one():
    settings = context(batches(), "openvino")
    program = run(captured(conv(), X), InsertQuantizers(), Calibrate(), context=settings)
    assert "@bias" in program.text() and "int32" not in program.text()


def test_min_max_is_that_of_all_values():
    program = run(marked(conv(), X), Calibrate(), context=context(batches()))
    seen = np.concatenate([b[0].numpy() for b in batches()])
    assert scale_of(program, "input_1_activation") == affine(seen.min(), seen.max())


def test_percentile_is_that_of_all_values_to_a_bin():
    data = [(randn(64, 3, 4, 4, seed=seed),) for seed in range(4)]
    shapes = {"input": {0: Dim("batch", min=1, max=128)}}
    program = marked(conv(), X, dynamic=shapes)
    settings = context(data)
    program = run(program, Calibrate(method="percentile", percentile=99.0), context=settings)
    seen = np.sort(np.concatenate([b[0].numpy().ravel() for b in data]))
    keep = int(np.ceil(0.99 * len(seen)))
    low, high = seen[len(seen) - keep], seen[keep - 1]
    width = 2.0 ** np.ceil(np.log2(np.abs(seen).max())) / 2048
    scale, _ = scale_of(program, "input_1_activation")
    assert high - low <= scale * 255 <= high - low + 4 * width
    assert scale * 255 < 0.9 * (seen.max() - seen.min())


@pytest.mark.parametrize("method", ["min-max", "percentile", "entropy", "mse"])
def test_one_batch_or_many_give_the_same_scales(method):
    shapes = {"input": {0: Dim("batch", min=1, max=128)}}
    program = marked(conv(), X, dynamic=shapes)
    many = [(b[0] * (i + 1),) for i, b in enumerate(batches(5))]
    one = [(torch.cat([b[0] for b in many]),)]
    results = [run(program, Calibrate(method=method), context=context(d)) for d in (many, one)]
    for name, tensor in results[0].used_weights():
        assert torch.equal(tensor, results[1].weight(name)), name


def test_no_batch_is_kept():
    seen: list[weakref.ref] = []

    def fresh():
        for seed in range(8):
            x = randn(2, 3, 4, 4, seed=seed)
            seen.append(weakref.ref(x))
            yield (x,)
            del x
            assert sum(ref() is not None for ref in seen) <= 1

    settings = context()
    settings.calibration = fresh
    run(marked(conv(), X), Calibrate(), context=settings)
    assert len(seen) == 8


def test_only_so_many_batches_are_asked_for():
    asked = []

    def stream():
        for number, batch in enumerate(batches(5)):
            asked.append(number)
            yield batch

    settings = context()
    settings.calibration = stream
    result = run_passes(marked(conv(), X), [Calibrate(batches=2)], settings)
    assert asked == [0, 1]
    assert result.reports[0].outcome.measures == {"batches": 2, "tensors": 2}


def test_progress_is_told_batch_by_batch():
    told = []
    settings = context(batches(2))
    settings.progress = lambda label, done, total: told.append((label, done, total))
    run(marked(conv(), X), Calibrate(batches=2), context=settings)
    assert told == [("calibrate", 1, 2), ("calibrate", 2, 2)]


def test_without_calibration_the_example_is_used_and_a_warning_says_so():
    settings = context()
    result = run_passes(marked(conv(), X), [Calibrate()], settings)
    (warning,) = result.reports[0].outcome.warnings
    assert warning.startswith("no calibration(): ranges and dB are of the example inputs alone")
    settings.calibration = lambda: iter([(X,)])
    assert not run_passes(marked(conv(), X), [Calibrate()], settings).reports[0].outcome.warnings
    assert scale_of(result.program, "input_1_activation") == affine(float(X.min()), float(X.max()))


def test_no_batches_at_all():
    with pytest.raises(UsageError, match=r"calibration\(\) gave no inputs"):
        run(marked(conv(), X), Calibrate(), context=context([]))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_batch_with_nan_is_named(value):
    data = batches(3)
    data[1][0][0, 0, 0, 0] = value
    with pytest.raises(CheckError, match=r"calibration batch 2: tensor 'input_1[.]activation'"):
        run(marked(conv(), X), Calibrate(), context=context(data))


BAD = {
    "shape": ((randn(2, 3, 5, 4),), r"'input' has shape \[2, 3, 5, 4\], expected \[2, 3, 4, 4\]"),
    "rank": ((randn(3, 4, 4),), r"has shape \[3, 4, 4\]"),
    "dtype": ((X.double(),), "'input' is torch.float64, expected torch.float32"),
    "list": ((X.tolist(),), "does not fit the model"),
    "number": ((1.0,), "'input' is float, not a tensor"),
    "too many": ((X, X), "does not fit the model"),
    "by name": ({"x": X}, "does not fit the model"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_batch_that_does_not_fit_is_named(name):
    batch, message = BAD[name]
    with pytest.raises(UsageError, match=f"calibration batch 2.*{message}"):
        run(marked(conv(), X), Calibrate(), context=context([(X,), batch]))


def test_unknown_calibrators_get_a_suggestion():
    program = marked(conv(), X)
    with pytest.raises(UsageError, match="min-max") as caught:
        run(program, Calibrate(method="min-mux"), context=context(batches()))
    assert "calibrator 'min-mux'" in caught.value.what
    bare = Context(target=target())
    with pytest.raises(UsageError, match="calibrator"):
        run(program, Calibrate(), context=bare)


def test_a_target_is_needed():
    with pytest.raises(UsageError, match="calibrate needs a target"):
        run(marked(conv(), X), Calibrate(), context=Context(calibrators=context().calibrators))


def test_a_program_without_marks_is_left_alone():
    program = captured(conv(), X)
    program.ledger.append({"pass": "insert-quantizers"})
    assert run(program, Calibrate(), context=context(batches())).text() == program.text()


def test_marks_are_required():
    with pytest.raises(UsageError, match="'calibrate' requires 'insert-quantizers' before it"):
        run(captured(conv(), X), Calibrate(), context=context(batches()))


@pytest.mark.parametrize("kind", ["constant", "zero", "negative", "positive"])
def test_one_sided_and_constant_tensors(kind):
    data = {
        "constant": torch.full_like(X, 3.0),
        "zero": torch.zeros_like(X),
        "negative": -X.abs() - 1,
        "positive": X.abs() + 1,
    }[kind]
    model = Call(lambda m, x: m.conv(x), conv=conv())
    program = run(marked(model, data), Calibrate(), context=context([(data,)]))
    scale, zero_point = scale_of(program, "inputs_0_activation")
    assert (scale, zero_point) == affine(float(data.min()), float(data.max()))
    assert zero_point == {"negative": 255}.get(kind, 0)
    assert torch.isfinite(program(data)).all()


def test_biases_are_at_the_product_of_the_scales():
    model = conv()
    program = run(marked(model, X), Calibrate(), context=context(batches()))
    product = program.weight("qdq.input_1_activation.scale") * program.weight("weight_scale")
    assert torch.equal(program.weight("bias_scale"), product)
    steps = (model.bias.detach().double() / product.double()).round()
    assert torch.equal(program.weight("bias_int32").double(), steps)
    assert program.weight("bias_int32").dtype == torch.int32
    assert not program.weight("bias_zero_point").any()


def test_a_channel_too_weak_for_its_bias_gets_a_coarser_scale():
    model = conv()
    with torch.no_grad():
        model.bias[1] = 1e9
    result = run_passes(marked(model, X), [Calibrate()], context(batches()))
    assert result.reports[0].outcome.rejected == []
    product = result.program.weight("bias_scale").double()
    steps = result.program.weight("bias_int32").double()
    # A float32 product of scales is exact to a part in 2²⁴, and so is what it stands for.
    torch.testing.assert_close(steps[1] * product[1], torch.tensor(1e9).double(), rtol=1e-6, atol=0)
    finest = model.weight.detach().abs().amax((1, 2, 3)) / 127
    coarser = result.program.weight("weight_scale") > 1.001 * finest
    assert coarser.tolist() == [False, True, False, False]


def test_a_channel_of_zeros_keeps_its_zeros():
    model = conv()
    with torch.no_grad():
        model.weight[2] = 0.0
    program = run(marked(model, X), Calibrate(), context=context(batches()))
    assert not program.weight("weight_int8")[2].any()
    assert float(program.weight("weight_scale")[2]) == 1.0
    assert torch.isfinite(program(X)).all()


def test_layers_that_share_weight_and_bias_have_a_bias_each():
    torch.manual_seed(0)
    model = Call(lambda m, x: m.a(m.a(x).relu() * 3), a=nn.Conv2d(3, 3, 1))
    program = run(marked(model, X), Calibrate(), context=context(batches()))
    text = program.text()
    assert "@a.bias_int32," in text and "@a.bias_int32_1," in text
    assert "weight_int8_1" not in text


@pytest.mark.parametrize(
    ("name", "method", "zero_point"),
    [
        ("portable", "min-max", 0),
        ("portable", "mse", 0),
        ("openvino", "percentile", 0),
        ("ort-arm64", "min-max", -128),
    ],
)
def test_probabilities_are_calibrated_from_zero(name, method, zero_point):
    model = Call(lambda m, x, y: x.softmax(-1) @ y)
    x, y = randn(2, 3, 100), randn(2, 100, 3)
    settings = context([(x, y)], name)
    program = run(
        captured(model, x, y), InsertQuantizers(), Calibrate(method=method), context=settings
    )
    scale, found = scale_of(program, "softmax_probability")
    assert found == zero_point
    largest = float(x.softmax(-1).max())
    assert largest < 0.5
    if method == "min-max":
        assert scale == pytest.approx(largest / 255, rel=1e-6)
    else:
        assert scale <= largest / 255 * (1 + 1e-6)


def test_the_softmax_of_qnn_has_a_fixed_scale_and_one_quantizer():
    model = Call(lambda m, x, y: x.softmax(-1) @ y)
    inputs = (randn(2, 3, 4), randn(2, 4, 3))
    settings = context([inputs], "qnn")
    program = run(captured(model, *inputs), InsertQuantizers(), Calibrate(), context=settings)
    scales = [n for n, _ in program.used_weights() if "softmax" in n and n.endswith(".scale")]
    assert [float(program.weight(n)) for n in scales] == [float(np.float32(1 / 255))]
