"""Rules, and the driver that applies them to a bounded fixed point."""

from __future__ import annotations

import functools
import inspect
import re
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from torch import fx

from rewrite.emitter import Emitter
from rewrite.errors import RewriteError
from rewrite.passes import Context, Outcome, Pass, Rejection, RuleStatistics
from rewrite.pattern import Match, Op, find_all

if TYPE_CHECKING:
    from rewrite.program import Program

_REWRITES_PER_NODE = 16


@dataclass(frozen=True)
class Reject:
    """Why a match must not be rewritten, and the node that says so."""

    reason: str
    node: fx.Node | None = None


class Rule(ABC):
    """A rewriting of one shape: `pattern` says the shape, `check` when not, `rewrite` the new one.

    The docstring of a subclass is its algebra: left side = right side.
    """

    pattern: ClassVar[Op]
    report_misses: ClassVar[bool] = True
    """Whether a root operator that does not fit the pattern is worth a reason."""

    @property
    def name(self) -> str:
        """The class name in kebab case."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", type(self).__name__).lower()

    @property
    def defined_at(self) -> str:
        """The file and line of the class."""
        return _defined_at(type(self))

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Return a reason not to rewrite this match, or None when it is legal."""
        return None

    @abstractmethod
    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the right side and return the node that replaces `match.root`. Never declines."""


@functools.cache
def _defined_at(cls: type[Rule]) -> str:
    try:
        file = inspect.getsourcefile(cls) or "?"
        return f"{Path(file).name}:{inspect.getsourcelines(cls)[1]}"
    except (OSError, TypeError):  # typed at a prompt: there is no file
        return f"{cls.__module__}.{cls.__qualname__}"


@dataclass
class _Tally:
    rule: Rule
    tries: int = 0
    hits: int = 0
    seconds: float = 0.0


@dataclass
class _Drive:
    """One run of a set of rules over one program."""

    program: Program
    emit: Emitter
    by_root: dict[Any, list[_Tally]]
    queue: deque[fx.Node] = field(default_factory=deque)
    queued: set[fx.Node] = field(default_factory=set)
    rejected: dict[tuple[str, str], Rejection] = field(default_factory=dict)
    rewrites: int = 0

    def sweep(self, limit: int) -> bool:
        """Visit every call, and what a rewrite makes new at once; tell whether any rule fired.

        A rewrite may also enable one further down, or where a value has lost a user, so only a
        sweep without a rewrite is the end. Its rejections are those of the final program.
        """
        self.rejected.clear()
        before = self.rewrites
        for node in self.program.graph.nodes:
            self.push(node)
        while self.queue:
            node = self.queue.popleft()
            self.queued.discard(node)
            if not node._erased:
                self.visit(node)
            if self.rewrites > limit:
                raise self._endless()
        return self.rewrites > before

    def _endless(self) -> RewriteError:
        busiest = max((t for group in self.by_root.values() for t in group), key=lambda t: t.hits)
        return RewriteError(
            f"rule '{busiest.rule.name}' fired {busiest.hits} times without an end",
            where=busiest.rule.defined_at,
            hint="its right side must not match its left side again",
        )

    def visit(self, node: fx.Node) -> None:
        misses: list[tuple[Rule, str]] = []
        for tally in self.by_root.get(node.target, ()):
            started = time.perf_counter()
            fired, miss = self._try(tally, node)
            tally.seconds += time.perf_counter() - started
            if fired:
                return
            if miss:
                misses.append((tally.rule, miss))
        if misses and not any(key[1] == node.name for key in self.rejected):
            rule, reason = misses[0]
            self.rejected[rule.name, node.name] = Rejection.of(rule.name, node, reason)

    def _try(self, tally: _Tally, node: fx.Node) -> tuple[bool, str]:
        rule = tally.rule
        tally.tries += 1
        rejection: Rejection | None = None
        # Operands that change places give several matches: the first legal one is taken.
        for match in find_all(rule.pattern, node):
            verdict = rule.check(match, self.program)
            if verdict is None:
                self._rewrite(rule, match)
                tally.hits += 1
                return True, ""
            reject = verdict if isinstance(verdict, Reject) else Reject(verdict)
            rejection = rejection or Rejection.of(rule.name, reject.node or node, reject.reason)
        if rejection is not None:
            self.rejected[rule.name, node.name] = rejection
            return False, ""
        return False, rule.pattern.why_not(node) if rule.report_misses else ""

    def _rewrite(self, rule: Rule, match: Match) -> None:
        self.emit.created.clear()
        users = list(match.root.users)
        new = rule.rewrite(match, self.emit)
        if new is not match.root:
            self.emit.replace(match.root, new)
        self.rewrites += 1
        for candidate in [*self.emit.created, new, *users]:
            self.push(candidate)

    def push(self, node: fx.Node) -> None:
        if node.op == "call_function" and node not in self.queued:
            self.queue.append(node)
            self.queued.add(node)


def apply_rules(program: Program, rules: Iterable[Rule]) -> Outcome:
    """Apply rules until none fires, indexed by the operator at their root.

    Raises:
        RewriteError: when the rules keep firing (16 rewrites per node on average).
    """
    tallies = [_Tally(rule) for rule in rules]
    by_root: dict[Any, list[_Tally]] = {}
    for tally in tallies:
        for target in tally.rule.pattern.targets:
            by_root.setdefault(target, []).append(tally)
    drive = _Drive(program, Emitter(program), by_root)
    limit = _REWRITES_PER_NODE * max(len(program.graph.nodes), 8)
    while drive.sweep(limit):
        pass
    rejected = list(drive.rejected.values())
    statistics = [
        RuleStatistics(t.rule.name, t.rule.defined_at, t.tries, t.hits, t.seconds) for t in tallies
    ]
    return Outcome(drive.rewrites, rejected, statistics=statistics)


@dataclass(frozen=True)
class RulePass(Pass):
    """A pass that is a set of rules."""

    @abstractmethod
    def rules(self) -> list[Rule]:
        """Return the rules, in order of preference at the same root operator."""

    def rules_for(self, context: Context) -> list[Rule]:
        """Return the rules where they depend on what is compiled for."""
        return self.rules()

    def run(self, program: Program, context: Context) -> Outcome:
        """Apply the rules; say so when nothing in the program has their root operator."""
        rules = self.rules_for(context)
        outcome = apply_rules(program, rules)
        if not outcome.rewrites and not outcome.rejected:
            outcome.nothing = _nothing(program, rules)
        return outcome


def _nothing(program: Program, rules: Sequence[Rule]) -> str:
    """Say why rules found nothing: there is no such operator, or none in such a place."""
    roots = list(dict.fromkeys(rule.pattern.describe() for rule in rules))
    targets = {target for rule in rules for target in rule.pattern.targets}
    names = " or ".join(roots)
    count = sum(1 for node in program.graph.nodes if node.target in targets)
    if not count:
        return f"the program has no {names}"
    calls = "1 call" if count == 1 else f"{count} calls"
    return f"{calls} of {names}, none in a place where it applies"
