"""Every exact pass over models in float64: `python -m tests.fuzz.passes --models 500`.

Each pass runs alone on the captured program, with its default options and with those that targets
give it, and in its place among the passes of a target. What the program computed before a pass and
after it is compared at sizes, values and edges that the pass has not seen.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from rewrite import equivalence
from rewrite.capture import capture, split_inputs
from rewrite.errors import RewriteError
from rewrite.interpret import run_float64
from rewrite.job import build_passes, choose_passes
from rewrite.pass_spec import PassSpec, parse_passes
from rewrite.passes import Context, Pass
from rewrite.pipeline import run_passes
from rewrite.plugin_host import PluginHost
from rewrite.program import Program
from rewrite.request import Request
from rewrite.undecided import settle

from .generate import generate
from .model_files import copied, load_file
from .printing import print_model

PLACES = ("portable", "openvino", "ort-x64", "qnn")
"""Targets whose passes run one after another; each model meets one of them."""
FAVOURITES = {
    "space-to-depth": ("layers", "strided_stem", "ort-x64"),
    "quantize-weights": ("layers", "large_linear", "portable"),
    "convolve-transposed": ("layers", "conv_transposed", "portable"),
    "hoist-activations": ("layout", "act_behind_move", "portable"),
    "convolve-batch-norm": ("norms", "conv_and_batch_norm", "portable"),
    "flatten-maps": ("norms", "norm_of_channels", "openvino"),
    "limit-masks": ("attention", "masked_by_hand", "qnn"),
}
"""By pass a step of which it sees too few, and the target among whose passes it is; every other
model has one."""


@dataclass
class PassFinding:
    """What one run of a pass did to one model."""

    seed: int
    name: str
    way: str
    """`alone`, or the target among whose passes it ran."""
    equivalence: str
    rewrites: int = 0
    error: float = 0.0
    """The largest relative error in float64."""
    problem: str = ""

    @property
    def is_bad(self) -> bool:
        too_far = self.equivalence == "exact" and not self.error <= equivalence.EXACT_RELATIVE_ERROR
        return bool(self.problem) or too_far


def try_passes(path: Path, host: PluginHost, seed: int) -> list[PassFinding]:
    """Run all passes over one model file; nothing for a model that cannot be captured."""
    module = load_file(path)
    try:
        program = capture(module.model(), module.inputs(), module.dynamic_shapes)
    except RewriteError:
        return []
    draws = list(_draws(module))
    found = []
    for target, spec in _alone(host):
        context = _context(host, target, module)
        pass_ = build_passes(host, [spec])[0]
        if not pass_.requires:
            found.append(_try(seed, "alone", pass_, program, context, draws)[0])
    target = FAVOURITES[_pass_led(seed)][2] if seed % 2 else PLACES[seed // 2 % len(PLACES)]
    context = _context(host, target, module)
    for pass_ in _in_place(host, target):
        finding, program_after = _try(seed, target, pass_, program, context, draws)
        found.append(finding)
        if program_after is None:
            break
        program = program_after
    return found


def _draws(module: Any) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    for given in (module.inputs(), *(inputs for _, inputs in module.others())):
        yield split_inputs(given)


def _alone(host: PluginHost) -> list[tuple[str, PassSpec]]:
    """Return every pass with its default options, and with those that some target gives it."""
    specs = {name: ("portable", PassSpec(name)) for name in host.passes()}
    for target in host.targets().values():
        for text in (*target.prepare, *target.legalize):
            for spec in parse_passes(text):
                # A target's own choice comes with what else it wants: batch norms between integers.
                specs.setdefault(text, (target.name, spec))
                if specs[spec.name][1] == spec:
                    specs[spec.name] = (target.name, spec)
    return list(specs.values())


def _in_place(host: PluginHost, target: str) -> list[Pass]:
    legalize = [s for text in host.find_target(target).legalize for s in parse_passes(text)]
    request = Request("", preset="int8", target=target)
    passes = [*choose_passes(host, request), *build_passes(host, legalize)]
    # Models are small: by their costs nothing would be worth quantizing.
    return [replace(p, profit=False) if hasattr(p, "profit") else p for p in passes]


def _context(host: PluginHost, target: str, module: Any) -> Context:
    return Context(
        target=host.find_target(target),
        calibration=module.calibration,
        calibrators=dict(host.calibrators()),
    )


def _try(
    seed: int, way: str, pass_: Pass, program: Program, context: Context, draws: list[Any]
) -> tuple[PassFinding, Program | None]:
    """Run one pass, and return what it left of the program, None when it failed."""
    found = PassFinding(seed, pass_.name, way, pass_.equivalence)
    try:
        done = run_passes(program, [pass_], context, checked=False)
    except RewriteError as error:
        if type(error).__name__ == "PluginError":
            found.problem = str(error.what)
        return found, None
    found.rewrites = done.reports[0].outcome.rewrites
    if pass_.equivalence == "exact" and done.program.version != program.version:
        found.error, found.problem = _error(program, done.program, draws)
    return found, done.program


def _error(before: Program, after: Program, draws: list[Any]) -> tuple[float, str]:
    worst = 0.0
    for args, kwargs in draws:
        expected = run_float64(before, *copied((args, kwargs)))
        try:
            actual = run_float64(after, *copied((args, kwargs)))
        except Exception as error:
            return worst, f"does not run: {type(error).__name__}: {error}"
        shapes = [(e.shape, a.shape) for e, a in zip(expected, actual, strict=True)]
        if any(left != right for left, right in shapes):
            return worst, f"shapes: {shapes}"
        found = equivalence.difference(equivalence.pairs([expected], [actual]))
        if not found.relative <= equivalence.EXACT_RELATIVE_ERROR:
            settled, _ = settle(before, [copied((args, kwargs))], [expected], [actual])
            found = equivalence.difference(equivalence.pairs([expected], settled))
        worst = max(worst, found.relative)
    return worst, ""


def report(findings: list[PassFinding]) -> str:
    """Return a table: how often each pass fired, and its largest error."""
    models = len({f.seed for f in findings})
    fired: dict[str, set[int]] = {}
    worst: Counter[str] = Counter()
    for found in findings:
        fired.setdefault(found.name, set())
        if found.rewrites:
            fired[found.name].add(found.seed)
        if found.equivalence == "exact":
            worst[found.name] = max(worst[found.name], found.error)  # type: ignore[assignment]
    classes = {f.name: f.equivalence for f in findings}
    lines = [
        f"{models} models",
        "",
        "| pass | class | fired in | largest error |",
        "|---|---|---|---|",
    ]
    for name in fired:
        error = f"{worst[name]:.1e}" if classes[name] == "exact" else ""
        lines.append(f"| {name} | {classes[name]} | {len(fired[name])} | {error} |")
    for found in findings:
        if found.is_bad:
            problem = found.problem or f"error {found.error:.1e}"
            lines.append(f"\nseed {found.seed}, {found.name} ({found.way}): {problem}")
    return "\n".join(lines)


def main() -> int:
    """Run the passes over as many models as are asked for; return 1 when one breaks its word."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.passes", description=__doc__)
    parser.add_argument("--models", type=int, default=500)
    parser.add_argument(
        "--least", type=int, default=20, help="go on with models for a pass until it fired in these"
    )
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--keep", default="fuzz-found/passes.jsonl", help="a run goes on")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    keep = Path(asked.keep)
    keep.parent.mkdir(parents=True, exist_ok=True)
    done = _read(keep)
    host, seed = PluginHost(), asked.first
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        while True:
            wanted = _wanting(done, asked.least)
            enough = sum(bool(found) for found in done.values()) >= asked.models
            if enough and not wanted:
                break
            led = seed % 2 and _pass_led(seed) in wanted
            if seed not in done and (led or not enough):
                done[seed] = try_passes(_written(seed, Path(folder)), host, seed)
                _append(keep, seed, done[seed])
                for found in done[seed]:
                    if found.is_bad:
                        print(found, file=sys.stderr, flush=True)
            seed += 1
    findings = [found for each in done.values() for found in each]
    print(report(findings))
    return int(any(found.is_bad for found in findings))


def _written(seed: int, folder: Path) -> Path:
    path = folder / f"seed_{seed}.py"
    step = FAVOURITES[_pass_led(seed)][:2] if seed % 2 else None
    spec = generate(seed, step) if step else generate(seed)
    path.write_text(print_model(spec), encoding="utf-8")
    return path


def _pass_led(seed: int) -> str:
    return list(FAVOURITES)[seed // 2 % len(FAVOURITES)]


def _wanting(done: dict[int, list[PassFinding]], least: int) -> set[str]:
    """Return the passes with a favourite that fired in too few models."""
    pairs = {(f.name, seed) for seed, found in done.items() for f in found if f.rewrites}
    fired = Counter(name for name, _ in pairs)
    return {name for name in FAVOURITES if fired[name] < least}


def _append(keep: Path, seed: int, findings: list[PassFinding]) -> None:
    with keep.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"seed": seed, "found": [asdict(f) for f in findings]}) + "\n")


def _read(keep: Path) -> dict[int, list[PassFinding]]:
    if not keep.is_file():
        return {}
    rows = [json.loads(line) for line in keep.read_text(encoding="utf-8").splitlines()]
    return {row["seed"]: [PassFinding(**each) for each in row["found"]] for row in rows}


if __name__ == "__main__":
    sys.exit(main())
