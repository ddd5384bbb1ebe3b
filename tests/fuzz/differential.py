"""One model, one target, one preset: compile it, run the file where it was not tried, compare."""

from __future__ import annotations

import contextlib
import io
import math
import re
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rewrite.capture import split_inputs
from rewrite.compile import compile_model
from rewrite.errors import RewriteError
from rewrite.interpret import run_float64
from rewrite.plugin_host import PluginHost
from rewrite.request import Request, Result
from rewrite.talk import Talk

from .judge import FLOAT_FLOOR, MARGIN, QUANTIZED_FLOOR, Verdict, beyond_noise, compare, sqnr
from .model_files import call, copied, input_names, load_file
from .running import RunFile, open_file

TARGETS = ("portable", "ort-x64", "openvino", "qnn")
PRESETS = ("float", "int8")
AGREES, WRONG, SUSPICIOUS, TOLD, REFUSED, CRASH = (
    "agrees",
    "wrong",
    "suspicious",
    "told",
    "refused",
    "crash",
)
BAD = (WRONG, CRASH)
GOOD_CLAIM = 20.0
"""In dB: an int8 file that is said to have as much must have half of it on fresh data."""


@dataclass
class Finding:
    """What came of one compilation."""

    seed: int
    target: str
    preset: str
    outcome: str
    reason: str = ""
    where: str = ""
    runs: int = 0
    """Times that the file was run and compared."""
    lowest_db: float | None = None
    claimed_db: float | None = None
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    ops: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def kind(self) -> str:
        """What two findings of one fault share: numbers and names are left out."""
        return kind_of(self.outcome, self.reason)


def kind_of(outcome: str, reason: str) -> str:
    text = re.sub(r"'[^']*'|\"[^\"]*\"", "'…'", reason.split("\n")[0])
    text = re.sub(r"[\w.]*\d[\w.:]*", "#", text)
    text = re.sub(r"[\[(][#, ]*[\])]", "#", text)
    return f"{outcome}: {re.sub(r'(# ?,? ?)+', '# ', text).strip()[:160]}"


class Heard(Talk):
    """Keeps warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


Compile = Callable[[Request, PluginHost, Talk], Result]


def attempt(
    path: Path,
    target: str,
    preset: str,
    host: PluginHost | None = None,
    seed: int = 0,
    compiler: Compile = compile_model,
) -> Finding:
    """Compile a model file and compare what comes out with eager torch."""
    started = time.perf_counter()
    found = Finding(seed, target, preset, AGREES)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    heard = Heard()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            request = _request(path, target, preset, folder / "out.onnx")
            result = compiler(request, host or PluginHost(), heard)
            found.warnings = heard.warnings
            _judge(found, path, result, folder / "out.onnx")
    except RewriteError as error:
        found.outcome, found.reason, found.where = REFUSED, error.what, error.where or ""
        if type(error).__name__ == "PluginError":
            found.reason = f"plugin: {error.what}"
    except Exception as error:
        found.outcome, found.where = CRASH, _place(error)
        found.reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    found.seconds = round(time.perf_counter() - started, 2)
    return found


def _request(path: Path, target: str, preset: str, output: Path) -> Request:
    return Request(
        str(path),
        preset=preset,
        target=target,
        output=output,
        threads=1,
        static=target == "qnn",
        # Hardly a random model has kernels for everything: what breaks rules is told, and runs.
        checks="report" if target == "qnn" else "strict",
    )


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def _judge(found: Finding, path: Path, result: Result, file: Path) -> None:
    """Run the file wherever its target runs, on everything that the model file knows."""
    module = load_file(path)
    model = module.model()
    runtimes = list(result.artifact.runtimes) if result.artifact else []
    broken = {each.name: each.problem for each in runtimes if each.problem}
    names = [each.name for each in runtimes if not each.problem] or ["onnxruntime"]
    summary = result.as_json()
    found.claimed_db = (summary["loss"] or {}).get("sqnr_db") if found.preset != "float" else None
    if broken:
        found.outcome, found.reason = TOLD, "; ".join(f"{n}: {p}" for n, p in broken.items())
    violations = result.artifact.violations if result.artifact else []
    if violations:
        rules = sorted({each.rule for each in violations})
        found.outcome, found.reason = TOLD, f"breaks rules: {', '.join(rules)}"
        found.where = violations[0].line
    if set(names) <= set(broken):
        return
    draws = _draws(module, fixed=found.target == "qnn")
    for name in names:
        try:
            run = open_file(name, file, quantized=found.preset != "float")
        except Exception as error:
            _mark(found, WRONG, f"{name} cannot load the file: {_first(error)}")
            continue
        for label, inputs in draws:
            _judge_one(found, model, result, run, f"{name}, {label}", inputs)


def _first(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _draws(module: Any, fixed: bool) -> list[tuple[str, Any]]:
    draws = [("example", module.inputs()), *module.others()]
    return [(label, given) for label, given in draws if not (fixed and "sizes" in label)]


_ORDER = (AGREES, TOLD, SUSPICIOUS, WRONG)


def _mark(found: Finding, outcome: str, reason: str) -> None:
    """Note the worst that is known; the first of its kind stays."""
    if _ORDER.index(outcome) > _ORDER.index(found.outcome):
        found.outcome, found.reason = outcome, reason


def _judge_one(
    found: Finding, model: nn.Module, result: Result, run: RunFile, label: str, inputs: Any
) -> None:
    def eager(given: Any) -> list[torch.Tensor]:
        return call(model, given)

    expected = eager(inputs)
    given = (
        inputs
        if isinstance(inputs, dict)
        else dict(zip(input_names(model, inputs), inputs, strict=True))
    )
    found.runs += 1
    try:
        actual = run({name: value.clone() for name, value in given.items()})
    except Exception as error:
        if all(bool(t.isfinite().all()) for t in expected if t.is_floating_point()):
            _mark(found, WRONG, f"{label}: the file fails: {_first(error)}")
        return
    if found.preset == "float":
        verdicts = compare(expected, actual, FLOAT_FLOOR)
        verdicts = beyond_noise(verdicts, expected, eager, inputs, FLOAT_FLOOR, _in_float64(result))
        for verdict in verdicts:
            _mark(found, WRONG, _told(label, verdict))
        return
    _judge_quantized(found, result, label, inputs, expected, actual)


def _in_float64(result: Result) -> Callable[[Any], list[torch.Tensor]]:
    def run(given: Any) -> list[torch.Tensor]:
        assert result.program is not None
        return run_float64(result.program, *split_inputs(copied(given)))

    return run


def _told(label: str, verdict: Verdict) -> str:
    return f"{label}: output {verdict.output}: {verdict.what}"


def _judge_quantized(
    found: Finding,
    result: Result,
    label: str,
    inputs: Any,
    expected: list[torch.Tensor],
    actual: list[torch.Tensor],
) -> None:
    """Hold an int8 file to the simulated program, and to what was claimed of it."""
    program = result.program
    assert program is not None

    def simulated(given: Any) -> list[torch.Tensor]:
        return call(program, given)

    shapes = [v for v in compare(expected, actual, -math.inf) if math.isnan(v.db)]
    for verdict in shapes:
        _mark(found, WRONG, _told(label, verdict))
    if shapes:
        return
    reference = simulated(inputs)
    verdicts = [v for v in compare(reference, actual, QUANTIZED_FLOOR) if _is_float(expected, v)]
    # What lies between two steps of an integer may fall either way: that alone is no fault.
    verdicts = [v for v in verdicts if _is_worse(v, expected, reference, actual)]
    precise = _in_float64(result)
    for verdict in beyond_noise(verdicts, reference, simulated, inputs, QUANTIZED_FLOOR, precise):
        _mark(found, WRONG, _told(f"{label}, against the program", verdict))
    if not any(word in label for word in ("example", "values")):
        return
    floats = [(i, e, a) for i, (e, a) in enumerate(zip(expected, actual, strict=True))]
    ratios = {i: sqnr(e, a) for i, e, a in floats if e.is_floating_point() and bool(e.any())}
    if not ratios:
        return
    worst = min(ratios, key=ratios.__getitem__)
    found.lowest_db = min(found.lowest_db or math.inf, ratios[worst])
    claimed = found.claimed_db
    if claimed is not None and claimed >= GOOD_CLAIM and ratios[worst] < GOOD_CLAIM / 2:
        _mark(
            found,
            SUSPICIOUS,
            f"{label}: output {worst}: {ratios[worst]:.1f} dB where {claimed:.1f} dB is claimed",
        )


def _is_float(expected: list[torch.Tensor], verdict: Verdict) -> bool:
    return verdict.output < 0 or expected[verdict.output].is_floating_point()


def _is_worse(
    verdict: Verdict,
    expected: list[torch.Tensor],
    reference: list[torch.Tensor],
    actual: list[torch.Tensor],
) -> bool:
    """Tell whether the file is further from eager torch than its simulation is."""
    i = verdict.output
    if i < 0 or math.isinf(verdict.db):
        return True
    return sqnr(expected[i], reference[i]) - sqnr(expected[i], actual[i]) > MARGIN / 2
