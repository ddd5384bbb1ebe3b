"""Running passes: order, isolation, checks and the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import networkx as nx

from rewrite import equivalence
from rewrite.analyses import AnalysisCache
from rewrite.checks.passes import PassChecks, file_of, whence
from rewrite.descriptors import PassObserver
from rewrite.errors import STOPS, PluginError, RewriteError, UsageError, raised_at
from rewrite.options import option_values
from rewrite.passes import Context, Outcome, Pass
from rewrite.program import Program


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
    checks = PassChecks(program, cache, origin) if checked else None
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
            checks.keep(cache, after)
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
            f"pass '{p.name}'{whence(origin, p.name)} failed: {type(error).__name__}: {error}",
            where=raised_at(error, file_of(p)),
            hint="the program is as it was before this pass; leave it out, or report the bug",
        ) from error
    return twin, outcome


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
