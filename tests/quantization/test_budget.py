"""More bits for the layers that cost most, until the outputs are good enough."""

import pytest
from rewrite_plugins.fold_batch_norm import FoldBatchNorm

from rewrite import CheckError, UsageError
from rewrite.budget import Budget
from rewrite.budget_search import meet_budget
from rewrite.inspection import inspect_model
from rewrite.job import choose_passes
from rewrite.pass_spec import parse_passes
from rewrite.plugin_host import PluginHost
from rewrite.request import Request
from rewrite.talk import Talk

HOST = PluginHost()
MODEL = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.outlier, self.last = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        self.first.bias.data[3] = 300.0
        self.outlier.weight.data[:, 3] = 0.0

    def forward(self, x):
        return self.last(self.outlier(self.first(x)).tanh())


def model():
    torch.manual_seed(0)
    return Net().eval()


def inputs():
    return (torch.randn(16, 8, generator=torch.Generator().manual_seed(0)),)


def calibration():
    yield inputs()
"""


@pytest.fixture
def request_(tmp_path):
    path = tmp_path / "model.py"
    path.write_text(MODEL)

    def make(passes):
        return Request(str(path), passes=tuple(parse_passes(passes)), checks="off")

    return make


def met(request, budget):
    return meet_budget(
        request, choose_passes(HOST, request), HOST, Talk(), Budget.parse(str(budget))
    )


def measured(request):
    return inspect_model(request, HOST, Talk(), batches=1).total.db


def test_the_layer_with_the_outlier_is_raised_first_and_alone(request_):
    request = request_("insert-quantizers,calibrate")
    assignment = met(request, 30)
    assert assignment.overrides == ("outlier=float",)
    assert assignment.start_db == pytest.approx(measured(request))
    assert measured(assignment.request) == pytest.approx(assignment.reached_db)
    assert assignment.reached_db >= 30 > assignment.start_db


def test_few_bits_become_eight_before_they_become_float(request_):
    assignment = met(request_("insert-quantizers{bits=w3a8,skip=outlier},calibrate"), 30)
    assert set(assignment.overrides) <= {"first=w8a8", "last=w8a8"}
    assert assignment.overrides


def test_what_is_good_enough_stays(request_):
    request = request_("insert-quantizers{skip=outlier},calibrate")
    assignment = met(request, 20)
    assert assignment.overrides == ()
    assert assignment.start_db == assignment.reached_db


def test_overrides_of_the_users_own_are_kept(request_):
    passes = "insert-quantizers{bits=w4a8,override=last=w8a8},calibrate"
    assignment = met(request_(passes), 30)
    (insert, _) = assignment.request.passes
    assert insert.options["override"][0] == "last=w8a8"


def test_everything_in_float_is_enough_for_any_budget(request_):
    assignment = met(request_("insert-quantizers{bits=w2a2},calibrate"), 150)
    assert {"first=float", "outlier=float", "last=float"} <= set(assignment.overrides)


def test_a_budget_that_no_override_reaches_is_an_error(tmp_path):
    path = tmp_path / "blocks.py"
    path.write_text(
        MODEL.replace("Linear(8, 8)", "Linear(32, 32)")
        .replace("(32, 8", "(32, 32")
        .replace("Linear(8, 4)", "Linear(32, 4)")
        .replace("randn(16, 8", "randn(16, 32")
    )
    passes = tuple(parse_passes("quantize-weights,insert-quantizers,calibrate"))
    with pytest.raises(CheckError, match="the budget of 100 dB is out of reach"):
        met(Request(str(path), passes=passes, checks="off"), 100)


def test_an_output_of_small_values_is_given_the_bits_it_needs(tmp_path):
    """The other output is 1000 times as large, and has 8 bits: it would hide this one."""
    path = tmp_path / "heads.py"
    path.write_text(
        MODEL.replace(
            "return self.last(self.outlier(self.first(x)).tanh())",
            "return {'small': self.last(x), 'large': 1e3 * self.first(x)}",
        )
    )
    passes = "insert-quantizers{bits=w8a8,override=last=w2a2},calibrate"
    request = Request(str(path), passes=tuple(parse_passes(passes)), checks="off")
    assignment = met(request, 25)
    assert assignment.start_db < 10
    assert [change.layer for change in assignment.changes] == ["last"]
    assert assignment.reached_db >= 25


def test_a_pass_must_take_overrides(request_):
    request = request_("fold-batch-norm")
    with pytest.raises(UsageError, match="none of the passes takes overrides"):
        meet_budget(request, [FoldBatchNorm()], HOST, Talk(), Budget(db=30))


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("35", Budget(db=35)),
        ("35dB", Budget(db=35)),
        ("35.5 db", Budget(db=35.5)),
        ("12MB", Budget(bytes=12_000_000)),
        ("1.5kB", Budget(bytes=1500)),
        ("2KiB", Budget(bytes=2048)),
        ("900B", Budget(bytes=900)),
        ("0.3x", Budget(share=0.3)),
        ("35dB,12MB", Budget(db=35, bytes=12_000_000)),
        (".25x, 35", Budget(db=35, share=0.25)),
    ],
)
def test_what_a_budget_says(text, budget):
    assert Budget.parse(text) == budget


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "'' is no budget"),
        ("small", "'small' is no budget"),
        ("-3dB", "'-3dB' is no budget"),
        ("12 apples", "'12 apples' is no budget: 'apples' is no unit"),
        ("30dB,40", "'30dB,40' says the same thing twice"),
        ("0.3x,12MB", "'0.3x,12MB' says the same thing twice"),
    ],
)
def test_what_is_no_budget(text, error):
    with pytest.raises(UsageError, match=error) as caught:
        Budget.parse(text)
    assert "35dB,12MB" in caught.value.hint
