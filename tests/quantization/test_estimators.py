"""Calibrators of plugins that fail: which one, of which plugin, at which tensor."""

from __future__ import annotations

import math

import pytest
import torch

from rewrite import Calibrator, PluginError
from rewrite.cli import main
from rewrite.quantization.estimators import Estimators
from rewrite.quantization.spec import QuantSpec

SPECS = {"relu": QuantSpec("activation")}
PLUGIN = """
from rewrite import Calibrator, hookimpl


class Mine(Calibrator):
    name = "mine"

    def observe(self, values):
        {observe}

    def bounds(self):
        return {bounds}


@hookimpl
def rewrite_calibrators():
    yield Mine
"""


class Given(Calibrator):
    """Gives bounds whatever it sees."""

    name = "given"
    given: object = (0.0, 1.0)

    def observe(self, values):
        raise KeyError("oops")

    def bounds(self):
        return self.given


class Choice(Given):
    """Gives them among others."""

    def candidates(self):
        return {"one": (0.0, 1.0), "two": self.given}


def estimators(calibrator, bounds):
    made = type("Made", (calibrator,), {"given": bounds})
    return Estimators(SPECS, lambda spec: made(), lambda kind, name: f"{kind}s 1.0")


@pytest.mark.parametrize("bounds", [(0, 1), (-1.5, -1.5), (torch.tensor(-1.0), 2), [0.0, 1.0]])
def test_two_finite_numbers_in_order_are_bounds(bounds):
    expected = tuple(float(bound) for bound in bounds)
    assert estimators(Given, bounds).bounds() == {"relu": expected}
    assert estimators(Choice, bounds).candidates()["relu"]["two"] == expected


def test_a_tensor_of_which_nothing_was_seen_has_no_bounds():
    assert estimators(Given, (math.inf, -math.inf)).bounds() == {"relu": (math.inf, -math.inf)}


@pytest.mark.parametrize(
    "bounds",
    [
        (math.nan, 1.0),
        (0.0, math.nan),
        (0.0, math.inf),
        (-math.inf, 0.0),
        (2.0, 1.0),
        (1.0,),
        (0.0, 1.0, 2.0),
        None,
        ("low", "high"),
    ],
)
def test_other_bounds_are_named_with_their_calibrator_and_tensor(bounds):
    for ask in (estimators(Given, bounds).bounds, estimators(Choice, bounds).candidates):
        with pytest.raises(PluginError) as error:
            ask()
        assert error.value.what == (
            f"calibrator 'given' (from calibrators 1.0) gives tensor 'relu' the bounds {bounds!r}"
        )
        assert __file__ in error.value.where


def test_what_a_calibrator_raises_is_its_own_error():
    with pytest.raises(PluginError) as error:
        estimators(Given, (0, 1)).observe("relu", torch.zeros(1))
    assert error.value.what == (
        "calibrator 'given' (from calibrators 1.0) failed: KeyError: 'oops'"
    )
    assert 'raise KeyError("oops")' in error.value.where
    assert error.value.hint.startswith("at tensor 'relu'")


@pytest.mark.parametrize(
    ("observe", "bounds", "what", "line"),
    [
        ("raise KeyError('oops')", "(0, 1)", "failed: KeyError: 'oops'", 9),
        ("pass", "1 / 0, 1", "failed: ZeroDivisionError: division by zero", 12),
        ("pass", "(2.0, 1.0)", "gives tensor 'images.activation' the bounds (2.0, 1.0)", 11),
        (
            "values.detach().view(-1).abs_()",
            "(0, 1)",
            "writes to the values of tensor 'images.activation' that it is shown",
            8,
        ),
    ],
)
def test_the_command_line_names_the_plugin(observe, bounds, what, line, tmp_path, capsys):
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN.format(observe=observe, bounds=bounds))
    passes = "insert-quantizers,calibrate{method=mine,batches=1}"
    command = ["zoo:resnet-digits", "--passes", passes, "--plugin", str(plugin), "--dry-run"]
    with pytest.raises(SystemExit) as exit_:
        main(command)
    assert exit_.value.code == 3
    told = capsys.readouterr().err
    assert f"error: calibrator 'mine' (from {plugin}) {what}\n" in told
    assert f"  at: {plugin}:{line}" in told
