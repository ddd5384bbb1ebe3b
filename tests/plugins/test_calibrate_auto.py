"""`auto` takes, for each tensor, the range that errs least in what reads the tensor."""

from __future__ import annotations

import pytest
import torch
from rewrite_plugins.calibrate import Calibrate
from rewrite_plugins.calibrators.auto import Auto
from torch import nn

from rewrite.pipeline import run_passes
from rewrite.quantization.spec import QuantSpec

from .models import Call, context, randn, run
from .test_calibrate import marked

GROUP = "input_1_activation"
METHODS = ["min-max", "moving-average", "percentile", "entropy", "mse"]


def outliers(seed: int) -> torch.Tensor:
    """Return rows whose first value is fifty times the others."""
    x = randn(512, 8, seed=seed)
    x[:, 0] *= 50
    return x


def reader(outlier: float, others: float) -> nn.Linear:
    torch.manual_seed(0)
    layer = nn.Linear(8, 4, bias=False)
    with torch.no_grad():
        layer.weight[:, 0] *= outlier
        layer.weight[:, 1:] *= others
    return layer


def calibrated(model: nn.Module, method: str, data):
    settings = context([(x,) for x in data])
    return run_passes(marked(model, data[0]), [Calibrate(method=method)], settings)


def chosen(model: nn.Module, data) -> dict[str, str]:
    return calibrated(model, "auto", data).reports[0].outcome.measures["chosen"]


def test_outliers_that_nobody_reads_are_cut_and_others_are_kept():
    data = [outliers(0), outliers(1)]
    assert chosen(reader(0.0, 1.0), data)["input_1.activation"] != "min-max"
    kept = calibrated(reader(1.0, 0.0), "auto", data)
    cut = calibrated(reader(0.0, 1.0), "auto", data)
    steps = [float(r.program.weight(f"qdq.{GROUP}.scale")) for r in (kept, cut)]
    assert steps[0] > 1.5 * steps[1]


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (0.1, 1.0)])
def test_no_other_method_errs_less_on_the_last_batch(weights):
    data = [outliers(0), outliers(1)]
    model = reader(*weights)
    errors = {m: error(calibrated(model, m, data).program, model, data[-1]) for m in METHODS}
    found = error(calibrated(model, "auto", data).program, model, data[-1])
    assert found == min(errors.values())


def error(program, model: nn.Module, x: torch.Tensor, group: str = GROUP) -> float:
    """Return the error behind the input alone: its scale in the program, the float weight."""
    scale, zero = program.weight(f"qdq.{group}.scale"), program.weight(f"qdq.{group}.zero_point")
    rounded = (((x / scale).round() + zero.float()).clamp(0, 255) - zero.float()) * scale
    with torch.no_grad():
        return float(torch.linalg.vector_norm(model(rounded) - model(x)))


def test_the_note_counts_what_was_chosen():
    data = [outliers(0)]
    result = calibrated(nn.Sequential(reader(1.0, 1.0), nn.Linear(4, 4)), "auto", data)
    (note,) = result.reports[0].outcome.notes
    assert note.startswith("least error behind the tensors: ")
    counts = [int(part.rpartition(" ")[2]) for part in note.partition(": ")[2].split(", ")]
    assert sum(counts) == result.reports[0].outcome.measures["tensors"]


def test_a_tensor_with_several_readers_is_measured_at_all_of_them():
    readers = (reader(0.0, 1.0), reader(1.0, 0.2))
    model = Call(lambda m, x: m.a(x) + m.b(x), a=readers[0], b=readers[1])
    data = [outliers(0), outliers(1)]
    x = data[-1]

    def cost(method: str) -> float:
        program = calibrated(model, method, data).program
        with torch.no_grad():
            sizes = [float(torch.linalg.vector_norm(r(x))) for r in readers]
        errors = [error(program, r, x, "inputs_0_activation") for r in readers]
        return sum((e / s) ** 2 for e, s in zip(errors, sizes, strict=True))

    assert cost("auto") == min(cost(method) for method in METHODS)


def test_nothing_to_choose_from_is_min_max():
    x = torch.zeros(4, 8)
    program = calibrated(reader(1.0, 1.0), "auto", [x]).program
    assert float(program.weight(f"qdq.{GROUP}.scale")) == 1.0


def test_without_a_reader_the_tensors_own_error_decides():
    calibrator = Auto(QuantSpec("nibble", "uint8", 0, 15))
    calibrator.observe(randn(10_000))
    assert calibrator.bounds() == calibrator.candidates()["mse"]


def test_a_calibrator_of_a_plugin_may_offer_ranges_too():
    class Two(Auto):
        name = "two"

        def candidates(self):
            return {"narrow": (-0.01, 0.01), "wide": (self.histogram.low, self.histogram.high)}

    settings = context([(outliers(0),)])
    settings.calibrators["two"] = Two
    model = reader(1.0, 1.0)
    result = run(marked(model, outliers(0)), Calibrate(method="two"), context=settings)
    assert set(result.ledger[-1]["measures"]["chosen"].values()) == {"wide"}
