"""The mean error of rounded weights goes into the bias, for every kind of layer."""

import pytest
import torch
from rewrite_plugins.calibrate import Calibrate
from rewrite_plugins.correct_bias import CorrectBias
from rewrite_plugins.insert_quantizers import InsertQuantizers
from rewrite_plugins.presets import INT8
from torch import nn

from rewrite import Context, UsageError, capture
from rewrite.equivalence import difference
from rewrite.pipeline import run_passes
from rewrite.plugin_host import PluginHost

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


@pytest.mark.parametrize("bias", [True, False])
def test_what_is_corrected_stays(bias):
    layer = nn.Linear(6, 5, bias=bias)
    model = Call(lambda m, x: m.layer(x) + m.layer(2 * x).relu(), layer=layer)
    given = context([(ROWS,)])
    once = run(captured(model, ROWS), InsertQuantizers(bits="w3a16"), CorrectBias(), context=given)
    twice = once.clone()
    outcome = CorrectBias().run(twice, given)
    assert (outcome.rewrites, outcome.notes) == (0, ["no bias is left to correct"])
    assert [r.reason for r in outcome.rejected] == ["its bias is corrected already"] * 2
    assert twice.text() == once.text()


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


def test_it_needs_a_target():
    with pytest.raises(UsageError, match="correct-bias needs a target"):
        CorrectBias().run(captured(nn.Linear(6, 5), ROWS), Context())


@pytest.mark.parametrize("model", [nn.Linear(6, 5), nn.ReLU()])
def test_nothing_is_done_where_no_weight_is_marked(model):
    program = captured(nn.Sequential(model), ROWS)
    before = program.text()
    outcome = CorrectBias().run(program, context([(ROWS,)]))
    assert (outcome.rewrites, outcome.notes) == (0, ["no layer's weight is marked"])
    assert program.text() == before


def test_the_preset_compiles_what_has_no_layer():
    passes = [PluginHost().find_pass(name)() for name in INT8.passes]
    report = run_passes(captured(nn.ReLU(), ROWS), passes, context([(ROWS,)]))
    notes = {r.pass_.name: r.outcome.notes for r in report.reports}
    assert notes["correct-bias"] == ["no layer's weight is marked"]


def test_without_data_the_example_is_taken():
    marked = run(
        captured(nn.Sequential(nn.Linear(6, 5)), ROWS), InsertQuantizers(), context=context()
    )
    nothing, given = context(), context([(ROWS,)])
    nothing.calibration = None
    one, other = (run(marked, CorrectBias(), context=c) for c in (nothing, given))
    assert torch.equal(one.weight("0.bias_1"), other.weight("0.bias_1"))


def test_a_batch_that_is_not_finite_has_no_say():
    broken = ROWS.clone()
    broken[3, 2] = float("nan")
    marked = run(
        captured(nn.Sequential(nn.Linear(6, 5)), ROWS), InsertQuantizers(), context=context()
    )
    given, both = context([(ROWS,)]), context([(broken,), (ROWS,)])
    one = run(marked, CorrectBias(), context=given)
    twin = marked.clone()
    outcome = CorrectBias().run(twin, both)
    assert outcome.notes == ["calibration batch 1 is not finite and has no say in biases"]
    assert torch.equal(one.weight("0.bias_1"), twin.weight("0.bias_1"))


def test_nothing_changes_where_no_batch_is_finite():
    marked = run(
        captured(nn.Sequential(nn.Linear(6, 5)), ROWS), InsertQuantizers(), context=context()
    )
    outcome = CorrectBias().run(marked, context([(ROWS * float("inf"),)]))
    assert outcome.rewrites == 0
    assert outcome.notes[-1] == "no batch was left to take means of"


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 5)

    def forward(self, x, attention_mask):
        return self.layer(x) * attention_mask[..., None]


def test_padding_does_not_count():
    x, mask = randn(4, 7, 6), torch.ones(4, 7, dtype=torch.int64)
    mask[:, 4:] = 0
    other = torch.where(mask[..., None].bool(), x, 50.0)
    dims = {0: torch.export.Dim("batch", max=64), 1: torch.export.Dim("tokens", max=64)}
    program = capture(Masked().eval(), (x, mask), {"x": dims, "attention_mask": dims})
    marked = run(program, InsertQuantizers(bits="w3a16"), context=context())
    biases = [
        run(marked, CorrectBias(), context=context([(batch, mask)])).weight("layer.bias_1")
        for batch in (x, other)
    ]
    assert torch.equal(*biases)
    assert not torch.equal(biases[0], marked.weight("layer.bias"))


@pytest.mark.parametrize(("alike", "helped"), [(True, 1), (False, 0)])
def test_a_mean_that_predicts_no_other_batch_is_left_alone(alike, helped):
    """Each batch is of the other sign, so that what one is off by makes the next one worse."""
    torch.manual_seed(0)
    other = ROWS if alike else -ROWS
    given = context([(ROWS,), (other,)])
    marked = run(captured(nn.Sequential(nn.Linear(6, 5)), ROWS), InsertQuantizers(), context=given)
    outcome = CorrectBias().run(marked, given)
    assert outcome.rewrites == helped
    assert [each.reason.startswith("it would not help") for each in outcome.rejected] == [True] * (
        1 - helped
    )
