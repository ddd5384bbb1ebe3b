"""`auto` takes, for each tensor, the range that errs least in what reads the tensor."""

from __future__ import annotations

import pytest
import torch
from rewrite_plugins.calibrate import Calibrate
from rewrite_plugins.calibrators.auto import Auto
from torch import nn
from torch.export import Dim

from rewrite.pipeline import run_passes
from rewrite.quantization import race, trial
from rewrite.quantization.spec import QuantSpec
from rewrite.quantization.trial import Trial

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
    offered = Auto(QuantSpec("byte"))
    for x in data:
        offered.observe(x)
    widths = [high - low for low, high in offered.candidates().values()]
    assert steps == pytest.approx([max(widths) / 255, min(widths) / 255], rel=1e-6)
    assert max(widths) > 1.4 * min(widths)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (0.1, 1.0)])
def test_no_other_method_costs_less(weights):
    data = [outliers(0), outliers(1)]
    readers = [reader(*weights)]
    errors = {m: cost(calibrated(readers[0], m, data), readers, data) for m in METHODS}
    assert cost(calibrated(readers[0], "auto", data), readers, data) == min(errors.values())


def cost(result, readers, data, group: str = GROUP) -> float:
    """Return the sum of squared relative errors over readers and batches."""
    with torch.no_grad():
        return sum(
            (error(result.program, r, x, group) / float(torch.linalg.vector_norm(r(x)))) ** 2
            for r in readers
            for x in data
        )


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
    group = "inputs_0_activation"
    errors = {m: cost(calibrated(model, m, data), readers, data, group) for m in METHODS}
    assert cost(calibrated(model, "auto", data), readers, data, group) == min(errors.values())


def test_batches_to_compare_on_are_spread_over_the_data(monkeypatch):
    tried = []
    monkeypatch.setattr(
        Trial, "run_inputs", lambda self, args, kwargs: tried.append(float(args[0][0, 0]))
    )
    data = [torch.full((4, 8), float(number)) for number in range(20)]
    data[9][:] = torch.nan
    settings = context([(x,) for x in data])
    run(marked(reader(1.0, 1.0), data[0]), Calibrate(method="auto", nan="skip"), context=settings)
    assert tried == [0, 3, 6, 10, 13, 16, 19]


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


def test_pieces_of_a_dynamic_batch_are_compared(monkeypatch):
    """Three batches of 9, 3 and 8 rows in quarters of two rows or more, three of each."""
    tried = []
    plain = Trial.run_inputs
    monkeypatch.setattr(
        Trial,
        "run_inputs",
        lambda self, args, kwargs: tried.append(args[0]) or plain(self, args, kwargs),
    )
    data = [outliers(number)[:count] for number, count in enumerate((9, 3, 8))]
    program = marked(reader(1.0, 1.0), data[0], dynamic={"input": {0: Dim("batch", min=1)}})
    run(program, Calibrate(method="auto"), context=context([(x,) for x in data]))
    parts = [data[0][:2], data[0][2:4], data[0][4:6], data[1], data[2][4:6], data[2][6:]]
    assert [len(x) for x in tried] == [2, 2, 2, 3, 2, 2, 2]
    assert all(any(torch.equal(x, part) for x in tried) for part in parts)


def test_a_race_that_is_decided_ends_the_comparison(monkeypatch):
    """Rows without outliers that are clipped: the wide ranges lose by far on each part."""
    tried = []
    plain = Trial.run_inputs
    monkeypatch.setattr(
        Trial,
        "run_inputs",
        lambda self, args, kwargs: tried.append(1) or plain(self, args, kwargs),
    )
    data = [outliers(seed) for seed in range(8)]
    model = reader(0.0, 1.0)
    few = chosen(model, data)
    assert 4 <= len(tried) < 8
    monkeypatch.setattr(race, "_LEAST_PARTS", 9)
    assert chosen(model, data) == few
    assert len(tried) > 12 - 4


def test_candidates_of_one_range_are_measured_once(monkeypatch):
    calls = []
    plain = trial._quantized
    monkeypatch.setattr(
        trial, "_quantized", lambda x, bounds, spec: calls.append(bounds) or plain(x, bounds, spec)
    )
    data = [torch.linspace(-1, 1, 64).reshape(8, 8)]
    calibrated(reader(1.0, 1.0), "auto", data)
    assert len(calls) == len(set(calls)) > 0
