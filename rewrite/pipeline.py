"""Running passes: order, isolation, checks and the ledger."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import networkx as nx

from rewrite import equivalence
from rewrite.analyses import AnalysisCache
from rewrite.checks.judge import Judge
from rewrite.descriptors import PassObserver
from rewrite.draws import Inputs, runnable_inputs
from rewrite.errors import STOPS, PluginError, RewriteError, UsageError, raised_at
from rewrite.fingerprint import Fingerprint, fingerprints
from rewrite.options import option_values
from rewrite.passes import Context, Outcome, Pass
from rewrite.program import Program
from rewrite.undecided import settle

_OUTPUTS = "outputs in float64"
"""Analysis of a checked program: what it computes on the inputs of the check."""


@dataclass
class PassReport:
    """What one pass did and how it was checked."""

    pass_: Pass
    outcome: Outcome
    difference: equivalence.Difference | None
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the entry of `passes` in the command line's JSON."""
        return {
            "name": self.pass_.name,
            "options": option_values(self.pass_),
            "equivalence": self.pass_.equivalence,
            "rewrites": self.outcome.rewrites,
            "rejected": [vars(r) for r in self.outcome.rejected],
            "notes": self.outcome.sentences,
            "error": None if self.difference is None else self.difference.relative,
            "seconds": round(self.seconds, 4),
            "measures": self.outcome.measures,
        }


@dataclass
class PipelineResult:
    """The rewritten program and one report per pass."""

    program: Program
    reports: list[PassReport] = field(default_factory=list)
    loss: equivalence.Difference | None = None
    """Float64 outputs against those of the program as given; None unless checked and changed."""
    warnings: list[str] = field(default_factory=list)
    """What the checks could not see, in sentences for the user."""


def order_passes(passes: Sequence[type[Pass]]) -> list[type[Pass]]:
    """Order a set of passes by `requires`, `after` and `before`; ties keep the given order.

    Raises:
        UsageError: for a cycle, which it prints, or a requirement that is not in the set.
    """
    by_name = {p.name: p for p in passes}
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(by_name)
    for p in passes:
        for needed in p.requires:
            if needed not in by_name:
                raise UsageError(f"'{p.name}' requires '{needed}', which is not in the set")
        graph.add_edges_from((n, p.name) for n in (*p.requires, *p.after) if n in by_name)
        graph.add_edges_from((p.name, n) for n in p.before if n in by_name)
    position = {name: i for i, name in enumerate(by_name)}
    try:
        names = list(nx.lexicographical_topological_sort(graph, key=lambda n: position[n]))
    except nx.NetworkXUnfeasible:
        cycle = [edge[0] for edge in nx.find_cycle(graph)]
        raise UsageError(
            f"passes ask for a circular order: {' → '.join([*cycle, cycle[0]])}",
            hint="give the order by hand: --passes a,b,c",
        ) from None
    return [by_name[name] for name in names]


def check_requirements(passes: Iterable[Pass], done: Iterable[str] = ()) -> None:
    """Validate a list given by hand.

    Raises:
        UsageError: when a pass comes before one that it requires.
    """
    seen = list(done)
    for p in passes:
        missing = [n for n in p.requires if n not in seen]
        if missing:
            path = " → ".join([*missing, p.name])
            raise UsageError(
                f"'{p.name}' requires '{missing[0]}' before it: {path}",
                hint=f"--passes {','.join([*missing, p.name])}",
            )
        seen.append(p.name)


def run_passes(
    program: Program,
    passes: Sequence[Pass],
    context: Context,
    *,
    observers: Sequence[PassObserver] = (),
    origin: Callable[[str], str] = lambda name: "",
    checked: bool = True,
    on_report: Callable[[PassReport], None] = lambda report: None,
) -> PipelineResult:
    """Run passes in the given order, each on a copy that replaces the program only when it holds.

    Args:
        program: left untouched.
        passes: in order; validated against their requirements, never reordered.
        context: shared by all passes.
        observers: told before and after each pass.
        origin: returns the distribution a pass comes from, for error texts.
        checked: compare outputs in float64 after each pass.
        on_report: called after each pass.

    Raises:
        UsageError: for a violated requirement.
        PluginError: when a pass raises.
        CheckError: when a pass breaks its declared equivalence.
    """
    check_requirements(passes, [entry["pass"] for entry in program.ledger])
    cache = context.analyses = context.analyses or AnalysisCache()
    result = PipelineResult(program)
    checks = _Checks(program, cache, origin) if checked else None
    for p in passes:
        started = time.perf_counter()
        before = result.program
        for observer in observers:
            observer.before_pass(p, before.clone())
        after, outcome = _run_one(p, before, context, origin)
        if checks is not None:
            checks.look_at(p, before, after)
        changed = after.version != before.version
        difference = checks.hold(p, before, after) if checks is not None and changed else None
        report = PassReport(p, outcome, difference, time.perf_counter() - started)
        after.ledger.append(_ledger_entry(report, origin(p.name)))
        cache.after_pass(after, p.preserves if changed else cache.names())
        if checks is not None:
            cache.put(_OUTPUTS, after, checks.computed)
        result.program = after
        result.reports.append(report)
        on_report(report)
        for observer in observers:
            observer.after_pass(p, after.clone(), outcome)
    if checks is not None:
        result.warnings = checks.warnings
        if any(report.difference for report in result.reports):
            result.loss = checks.loss()
    return result


@dataclass(frozen=True)
class _Computed:
    """What a program computes on the inputs of the checks."""

    inputs: list[Inputs]
    outputs: list[list[Any]]
    unseen: str
    """Why there are no inputs of other sizes; empty where there are, or where all are fixed."""


class _Checks:
    """What a program computes on the inputs of the checks, as it was given and by now."""

    def __init__(
        self, program: Program, cache: AnalysisCache, origin: Callable[[str], str]
    ) -> None:
        self.judge, self.origin = Judge(program), origin
        self.flatten = program.signature.flatten_inputs
        self.computed: _Computed = cache.get(_OUTPUTS, program, _compute)
        self.given = self.computed.outputs
        self.seen: Fingerprint = fingerprints(program)[0]
        self.undecided = 0
        """Values of the outputs for which rounding decides, even in float64."""

    @property
    def warnings(self) -> list[str]:
        found = []
        if self.computed.unseen:
            found.append(
                "the model breaks on its inputs drawn at other sizes, so the passes were checked "
                f"at the sizes of inputs() alone: {self.computed.unseen}"
            )
        if self.undecided:
            found.append(
                f"{self.undecided} values of the outputs hang on rounding, such as the place of a "
                "maximum among equals: the passes were checked on the others"
            )
        return found

    def look_at(self, p: Pass, before: Program, after: Program) -> None:
        """Find what a pass changed without saying so.

        Raises:
            PluginError: when the program that it was given a copy of is another one now.
        """
        kept, made = fingerprints(before, after)
        changed = self.seen.changed_weights(kept)
        if changed or kept.calls != self.seen.calls:
            what = f"wrote to weight '{changed[0]}'" if changed else "edited a branch"
            raise PluginError(
                f"pass '{p.name}'{_from(self.origin, p.name)} {what} in place: every program and "
                "the model itself share it",
                where=_file(p),
                hint="make a new one: Emitter(program).weight(value, source, recipe)",
            )
        if after.version == before.version and made != kept:
            after.touch()
        self.seen = made

    def hold(self, p: Pass, program: Program, rewritten: Program) -> equivalence.Difference:
        """Hold a pass to what it declares; what its program computes is compared with next."""
        inputs, before = self.computed.inputs, self.computed.outputs
        after = _evaluate(p, rewritten, inputs, self.origin)
        try:
            found = equivalence.check(p, before, after)
        except equivalence.TooFar:
            settled, count = settle(program, inputs, before, after)
            found = equivalence.check(p, before, settled)
            self.undecided = max(self.undecided, count)
        self.computed = _Computed(inputs, after, self.computed.unseen)
        return found

    def loss(self) -> equivalence.Difference:
        """Compare the outputs by now with those of the program as it was given."""
        flat = [self.flatten(*each) for each in self.computed.inputs]
        return equivalence.loss(self.judge, flat, self.given, self.computed.outputs)


def _compute(program: Program) -> _Computed:
    def run(inputs: Inputs) -> list[Any]:
        return equivalence.reference(program, [inputs])[0]

    return _Computed(*runnable_inputs(program, run))


def _run_one(
    p: Pass, program: Program, context: Context, origin: Callable[[str], str]
) -> tuple[Program, Outcome]:
    twin = program.clone()
    try:
        outcome = p.run(twin, context)
        if not isinstance(outcome, Outcome):
            raise TypeError(f"run() returned {type(outcome).__name__}, not an Outcome")
        twin.graph.lint()
    except (RewriteError, *STOPS):
        raise
    except BaseException as error:
        raise PluginError(
            f"pass '{p.name}'{_from(origin, p.name)} failed: {type(error).__name__}: {error}",
            where=raised_at(error, _file(p)),
            hint="the program is as it was before this pass; leave it out, or report the bug",
        ) from error
    return twin, outcome


def _evaluate(
    p: Pass, program: Program, inputs: list[Inputs], origin: Callable[[str], str]
) -> list[list[Any]]:
    try:
        return equivalence.reference(program, inputs)
    except Exception as error:
        raise PluginError(
            f"the program does not run after pass '{p.name}'{_from(origin, p.name)}: "
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            hint="a size may have been baked in; leave the pass out, and report the model",
        ) from error


def _from(origin: Callable[[str], str], name: str) -> str:
    source = origin(name)
    return f" (from {source})" if source else ""


def _file(p: Pass) -> str | None:
    return getattr(sys.modules.get(type(p).__module__), "__file__", None)


def _ledger_entry(report: PassReport, source: str) -> dict[str, Any]:
    entry = report.as_json()
    return {
        "pass": entry["name"],
        "from": source,
        "options": entry["options"],
        "equivalence": entry["equivalence"],
        "rewrites": entry["rewrites"],
        "rejected": len(entry["rejected"]),
        "relative_error": entry["error"],
        "measures": entry["measures"],
    }
