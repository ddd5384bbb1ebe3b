"""Where the loss is: the layer that costs most comes first, and its override ends it."""

import math

import pytest
import torch
from rewrite_plugins.calibrate import Calibrate
from rewrite_plugins.calibrators.min_max import MinMax
from rewrite_plugins.insert_quantizers import InsertQuantizers
from rewrite_plugins.quantize_weights import QuantizeWeights
from torch import nn

from rewrite import Context, UsageError, capture
from rewrite.inspection import inspect_losses
from rewrite.losses import Loss, OutputLoss
from rewrite.pipeline import run_passes
from rewrite.plugin_host import PluginHost

TARGET = PluginHost().find_target("portable")
X = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """The second layer reads one value that is far larger than the rest, and ignores it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.outlier, self.last = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        self.first.bias.data[3] = 300.0
        self.outlier.weight.data[:, 3] = 0.0

    def forward(self, x):
        return self.last(self.outlier(self.first(x)).tanh())


def inspected(model, x=X, passes=None, **options):
    plain = capture(model.eval(), (x,))
    context = Context(
        target=TARGET, calibration=lambda: iter([(x,)]), calibrators={"min-max": MinMax}
    )
    passes = passes or [InsertQuantizers(**options), Calibrate()]
    quantized = run_passes(plain, passes, context).program
    return inspect_losses(plain, quantized, [((x,), {})])


def test_the_worst_layer_comes_first_and_its_override_mends_it():
    found = inspected(Net())
    assert found.layers[0].layer == "outlier"
    assert found.layers[0].override == "outlier=float"
    overrides, expected = found.suggestion()
    assert overrides == ["outlier=float"]
    mended = inspected(Net(), override=tuple(overrides))
    assert mended.total.db == pytest.approx(expected, abs=3)
    assert mended.total.db > found.total.db + 10


def test_a_single_layer_costs_what_everything_costs():
    found = inspected(Net(), skip=("first", "last"))
    (layer,) = found.layers
    assert layer.output.db == pytest.approx(found.total.db, abs=1e-9)
    assert layer.own.db == pytest.approx(layer.accumulated.db, abs=1e-9)


def test_rounding_of_an_output_is_the_last_layer_s():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 2, 1))
    image = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = inspected(nn.Conv2d(3, 8, 1), image)
    (alone,) = found.layers
    assert alone.output.db == pytest.approx(found.total.db, abs=1e-9)
    assert alone.own.db == pytest.approx(found.total.db, abs=1e-9)
    found = inspected(net, image)
    together = -10 * math.log10(sum(x.output.noise for x in found.layers))
    assert together == pytest.approx(found.total.db, abs=0.5)
    assert found.layers[0].layer == "2"


def test_losses_of_layers_add_up():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 8)
    )
    found = inspected(net, torch.randn(64, 32))
    together = -10 * math.log10(sum(x.output.noise for x in found.layers))
    assert together == pytest.approx(found.total.db, abs=1.5)
    for layer in found.layers:
        assert layer.accumulated.db <= layer.own.db + 0.5


def test_few_bits_are_mended_by_eight():
    found = inspected(Net(), bits="w4a4")
    assert found.layers[0].override.endswith("=w8a8")


def test_more_bits_cost_less():
    losses = [inspected(Net(), bits=bits).total.db for bits in ("w4a4", "w8a8", "w16a16")]
    assert losses == sorted(losses)


def test_a_view_of_a_quantized_result_goes_by_its_layer():
    class Images(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(36, 4)

        def forward(self, x):
            y = self.conv(x).flatten(1)
            return self.head(y) + y.sum(1, keepdim=True)

    found = inspected(Images(), torch.randn(2, 3, 5, 5))
    assert {layer.layer for layer in found.layers} <= {"conv", "head", "sum_1"}


def test_weights_alone():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 8))
    found = inspected(net, torch.randn(4, 32), passes=[QuantizeWeights()])
    assert [layer.input.db for layer in found.layers] == [None, None]
    assert all(15 < layer.weight.db < 35 for layer in found.layers)


def test_a_float_program_has_no_losses():
    plain = capture(Net().eval(), (X,))
    with pytest.raises(UsageError, match="the program is not quantized"):
        inspect_losses(plain, plain, [((X,), {})])


def test_an_exact_result_has_no_ratio():
    loss = Loss()
    loss.add(X, X.clone())
    assert loss.db is None
    loss.add(torch.tensor([1.0, float("-inf")]), torch.tensor([1.1, float("-inf")]))
    assert loss.db is not None


class Heads(nn.Module):
    """Two outputs of very different scales, and the ids of rows."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.small, self.large = nn.Linear(8, 4), nn.Linear(8, 4)

    def forward(self, x):
        return {"small": self.small(x), "large": self.large(x) * 1e3, "best": x.argmax(-1)}


def test_an_output_does_not_hide_behind_another_of_large_values():
    found = inspected(Heads(), skip=("large",), bits="w4a4")
    (layer,) = found.layers
    assert layer.layer == "small"
    assert found.total.worst == layer.output.worst == "small"
    assert found.total.db == pytest.approx(layer.own.db, abs=1e-9)
    assert set(found.total.outputs) == {"small", "large"}


def test_layers_are_ordered_by_what_each_costs_the_output_it_is_for():
    found = inspected(Heads(), bits="w8a8", override=("small=w4a4",))
    assert [layer.layer for layer in found.layers] == ["small", "large"]


def test_a_layer_is_measured_against_the_signal_of_all_batches():
    """It loses nothing on the second batch, and is not run there: the signal is twice as large."""
    total, alone, other = OutputLoss(), OutputLoss(), X + 0.1
    for _ in range(2):
        total.add("out", X, other)
    alone.add("out", X, other)
    assert alone.db == pytest.approx(total.db)
    alone.measure_against(total)
    assert alone.db == pytest.approx(total.db + 10 * math.log10(2))


def test_an_output_of_zeros_is_measured_with_the_others():
    loss = OutputLoss()
    loss.add("out", torch.full((4,), 2.0), torch.full((4,), 2.0))
    loss.add("silent", torch.zeros(4), torch.ones(4))
    assert loss.db == pytest.approx(10 * math.log10(16 / 4))
    assert loss.worst == ""
