"""Bits for all layers and for some: what is read, and what every tensor gets."""

import pytest
import torch
from rewrite_plugins.calibrate import Calibrate
from rewrite_plugins.calibrators.min_max import MinMax
from rewrite_plugins.insert_quantizers import InsertQuantizers
from torch import nn

from rewrite import Context, UsageError, capture
from rewrite.pipeline import run_passes
from rewrite.plugin_host import PluginHost
from rewrite.quantization.markers import DEQUANTIZE, OBSERVE, QUANTIZE
from rewrite.quantization.precision import Override, Precision
from rewrite.schema import argument, arguments

TARGET = PluginHost().find_target("portable")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.body, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x):
        y = self.stem(x).relu()
        return self.head(self.body(y).relu() + y)


def program():
    torch.manual_seed(0)
    return capture(Net().eval(), (torch.randn(3, 8),))


def marks(**options):
    """Return the spec of every mark by what it marks."""
    context = Context(target=TARGET)
    marked = run_passes(program(), [InsertQuantizers(**options)], context).program
    bound = [arguments(n) for n in marked.graph.nodes if n.target is OBSERVE]
    return {
        str(b["x"].target if b["x"].op == "get_attr" else b["x"].name): b["spec"] for b in bound
    }


def test_the_targets_own_bits_are_its_own_specs():
    assert {spec.partition("@")[1] for spec in marks(bits="w8a8").values()} == {""}


def test_weights_and_activations_have_bits_of_their_own():
    found = marks(bits="w4a6")
    assert found["stem.weight"] == "weight@4"
    assert found["x"] == "activation@6"


@pytest.mark.parametrize("pattern", ["head", "head.weight", "hea*"])
def test_a_layer_is_found_by_module_and_by_weight(pattern):
    found = marks(bits="w4a4", override=(f"{pattern}=w8a8",))
    assert found["head.weight"] == "weight"
    assert found["body.weight"] == "weight@4"


def test_a_kind_is_overridden_whole_and_the_last_override_wins():
    found = marks(bits="w4a4", override=("op:linear=w6a6", "body=w8a8"))
    assert [found[f"{n}.weight"] for n in ("stem", "body")] == ["weight@6", "weight"]


def test_float_layers_are_not_marked():
    found = marks(override=("body=float",), skip=("head",))
    assert {name for name in found if name.endswith("weight")} == {"stem.weight"}


def test_a_tensor_gets_the_bits_of_the_reader_that_wants_most():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)
            self.first = nn.Conv2d(2, 2, 1)

        def forward(self, x):
            y = self.first(x)
            return self.a(y), self.b(y)

    module = capture(Two().eval(), (torch.randn(1, 2, 3, 3),))
    insert = InsertQuantizers(bits="w8a4", override=("b=w8a8",))
    marked = run_passes(module, [insert], Context(target=TARGET)).program
    specs = {
        argument(n, "group"): argument(n, "spec") for n in marked.graph.nodes if n.target is OBSERVE
    }
    assert specs["conv2d"] == "activation"
    assert specs["x.activation@4"] == "activation@4"


def test_a_weight_of_two_layers_with_different_needs_is_stored_twice():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.b(self.a(x).relu())

    module = capture(Tied().eval(), (torch.randn(3, 8),))
    context = Context(target=TARGET, calibrators={"min-max": MinMax})
    passes = [InsertQuantizers(bits="w4a8", override=("b=w8a8",)), Calibrate()]
    frozen = run_passes(module, passes, context).program
    steps = sorted(
        int(frozen.weight(str(argument(n, "x").target)).abs().max())
        for n in frozen.graph.nodes
        if n.target is DEQUANTIZE
        and argument(n, "x").op == "get_attr"
        and frozen.weight(str(argument(n, "x").target)).dtype == torch.int8
    )
    assert steps == [7, 127]


def test_low_bits_stay_inside_their_range():
    context = Context(target=TARGET, calibrators={"min-max": MinMax})
    passes = [InsertQuantizers(bits="w3a5"), Calibrate()]
    frozen = run_passes(program(), passes, context).program
    ranges = {
        (argument(n, "qmin"), argument(n, "qmax"))
        for n in frozen.graph.nodes
        if n.target is QUANTIZE
    }
    assert ranges == {(0, 31)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a8", "'a8' is no precision"),
        ("w1", "'w1' is no precision: 1 bits"),
        ("w1a8", "'w1a8' is no precision: 1 bits"),
        ("w8a12", "'w8a12' is no precision: 12 bits"),
        ("int8", "'int8' is no precision"),
    ],
)
def test_mistakes_in_a_precision(text, message):
    with pytest.raises(UsageError, match=message):
        Precision.parse(text)


@pytest.mark.parametrize("text", ["w4a8", "w8a16", "w4", "float"])
def test_a_precision_reads_what_it_shows(text):
    assert str(Precision.parse(text) or Precision()) == text


def test_bits_of_weights_alone_leave_activations_to_the_target():
    found = marks(override=("head=w4",))
    assert found["head.weight"] == "weight@4"
    assert found["x"] == "activation"
    assert not [spec for spec in found.values() if spec.startswith("activation@")]


@pytest.mark.parametrize("text", ["head", "=w8a8"])
def test_mistakes_in_an_override(text):
    with pytest.raises(UsageError, match="is no override"):
        Override.parse(text)


def test_float_for_all_is_refused():
    with pytest.raises(UsageError, match="quantizes nothing"):
        run_passes(program(), [InsertQuantizers(bits="float")], Context(target=TARGET))
