"""The mean error of rounded weights goes into the bias, for every kind of layer."""

import pytest
import torch
from rewrite_plugins.calibrate import Calibrate
from rewrite_plugins.correct_bias import CorrectBias
from rewrite_plugins.insert_quantizers import InsertQuantizers
from torch import nn

from rewrite import UsageError
from rewrite.equivalence import difference

from .models import Call, captured, context, randn, run

IMAGE = randn(4, 6, 9, 9).abs()
ROWS = randn(64, 6).abs()
LAYERS = {
    "linear": (nn.Linear(6, 5), ROWS, (0,)),
    "tokens": (nn.Linear(6, 5), randn(4, 7, 6).abs(), (0, 1)),
    "no bias": (nn.Linear(6, 5, bias=False), ROWS, (0,)),
    "conv": (nn.Conv2d(6, 4, 3, padding=1), IMAGE, (0, 2, 3)),
    "grouped": (nn.Conv2d(6, 4, 3, stride=2, groups=2), IMAGE, (0, 2, 3)),
    "depthwise, no bias": (nn.Conv2d(6, 6, 3, groups=6, bias=False), IMAGE, (0, 2, 3)),
    "1-D": (nn.Conv1d(6, 4, 3), randn(4, 6, 9).abs(), (0, 2)),
}


def quantized(model, x, *more, bits="w3a16", batches=1):
    given = context([(x,)] * batches)
    passes = [InsertQuantizers(bits=bits), *more, Calibrate()]
    return run(captured(model, x), *passes, context=given)


@pytest.mark.parametrize("case", LAYERS)
def test_the_mean_of_every_channel_is_right_again(case):
    layer, x, others = LAYERS[case]
    torch.manual_seed(0)
    layer.reset_parameters()
    model = nn.Sequential(layer)
    exact = model.eval()(x)
    before, after = (
        (quantized(model, x, *more)(x) - exact).mean(others).abs().max()
        for more in ((), (CorrectBias(),))
    )
    assert float(after) < 0.02 * float(before)


def test_a_network_gets_better():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4)
    )
    exact = model.eval()(ROWS)
    sqnr = [
        difference([(exact, quantized(model, ROWS, *more)(ROWS))]).sqnr_db
        for more in ((), (CorrectBias(),))
    ]
    assert sqnr[1] > sqnr[0] + 1


def test_batches_are_averaged_and_counted():
    model = nn.Sequential(nn.Linear(6, 5))
    once, twice = (quantized(model, ROWS, CorrectBias(), batches=n) for n in (1, 2))
    assert torch.equal(once(ROWS), twice(ROWS))


def test_layers_that_are_not_quantized_keep_their_bias():
    model = nn.Sequential(nn.Linear(6, 5))
    program = captured(model, ROWS)
    given = context([(ROWS,)])
    after = run(program, InsertQuantizers(skip=("0",)), CorrectBias(), context=given)
    assert [name for name, _ in after.used_weights()] == ["0.weight", "0.bias"]


def test_a_bias_that_is_computed_is_told():
    model = Call(lambda m, x, b: nn.functional.linear(x, m.layer.weight, b), layer=nn.Linear(6, 5))
    program = captured(model, ROWS, randn(5))
    given = context([(ROWS, randn(5))])
    marked = run(program, InsertQuantizers(), context=given)
    outcome = CorrectBias().run(marked, given)
    assert outcome.rewrites == 0
    assert [r.reason for r in outcome.rejected] == ["its bias is computed at run time"]


def test_it_needs_data():
    marked = run(
        captured(nn.Sequential(nn.Linear(6, 5)), ROWS), InsertQuantizers(), context=context()
    )
    nothing = context()
    nothing.calibration = None
    with pytest.raises(UsageError, match="correct-bias needs calibration data"):
        CorrectBias().run(marked, nothing)
