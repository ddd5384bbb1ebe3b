"""The contract of a pass, and what it reports."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from torch import fx

from rewrite.provenance import source_line

if TYPE_CHECKING:
    from rewrite.analyses import AnalysisCache
    from rewrite.program import Program
    from rewrite.target import Target

Equivalence = Literal["exact", "approximate", "lossy"]


@dataclass(frozen=True)
class Rejection:
    """A place where a pass could have fired and did not."""

    rule: str
    node: str
    reason: str
    where: str = ""
    """The user's source line, as `file:line: code`, when the node has one."""

    @classmethod
    def of(cls, rule: str, node: fx.Node, reason: str) -> Rejection:
        """Reject `node`, looking up the source line it came from."""
        return cls(rule, node.name, reason, source_line(node))


@dataclass(frozen=True)
class RuleStatistics:
    """How often a rule was tried and fired, and how long it took."""

    rule: str
    defined_at: str
    tries: int
    hits: int
    seconds: float


@dataclass
class Outcome:
    """What one run of a pass did."""

    rewrites: int = 0
    rejected: list[Rejection] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Sentences for the user."""
    warnings: list[str] = field(default_factory=list)
    """What may make the result worse than it could be, and what to do about it."""
    nothing: str = ""
    """Why there was nothing to do; empty where something was done, or declined."""
    statistics: list[RuleStatistics] = field(default_factory=list)
    measures: dict[str, Any] = field(default_factory=dict)
    """Numbers a pass wants to keep in the ledger."""

    @property
    def sentences(self) -> list[str]:
        """Everything there is to say."""
        return [*self.remarks, *self.warnings]

    @property
    def remarks(self) -> list[str]:
        """What there is to say but for the warnings."""
        return [*([self.nothing] if self.nothing else []), *self.notes]


@dataclass
class Context:
    """What a pass may use besides the program."""

    target: Target | None = None
    calibration: Callable[[], Iterable[Any]] | None = None
    """Return a fresh iterable of inputs, each a tuple or a dict as the model file's `inputs()`."""
    calibration_identity: str = ""
    """What tells these calibration data from others, as far as anyone knows."""
    calibration_cache: Path | None = None
    """Where calibration keeps what it has learnt, to go on from when it was stopped."""
    device: str = "cpu"
    seed: int = 0
    progress: Callable[[str, int, int | None], None] = lambda label, done, total: None
    """Called with (what is being done, steps done, steps in all or None)."""
    analyses: AnalysisCache | None = None
    calibrators: dict[str, Any] = field(default_factory=dict)
    """Calibrator classes by name."""
    origin: Callable[[str, str], str] = lambda kind, name: ""
    """Returns what a calibrator, or anything else that a hook yields, comes from; for errors."""


@dataclass(frozen=True)
class Pass(ABC):
    """One rewriting of a program. Subclasses are frozen dataclasses; fields are options."""

    name: ClassVar[str]
    equivalence: ClassVar[Equivalence]
    bound: ClassVar[float] = 0.0
    """For `approximate`: the relative error it promises to stay under."""
    requires: ClassVar[tuple[str, ...]] = ()
    """Passes that must have run before this one."""
    after: ClassVar[tuple[str, ...]] = ()
    """Passes this one runs after, when both are asked for."""
    before: ClassVar[tuple[str, ...]] = ()
    """Passes this one runs before, when both are asked for."""
    completed_by: ClassVar[tuple[str, ...]] = ()
    """Passes without which nothing of it is in a file."""
    least_opset: ClassVar[int] = 0
    """The first opset that has what it makes."""
    opset_hint: ClassVar[str] = ""
    """What to do where a target takes no such opset."""
    preserves: ClassVar[tuple[str, ...]] = ()
    """Analyses that are still valid afterwards."""
    resumes: ClassVar[bool] = False
    """Whether it keeps `context.calibration_cache`, and goes on from there when it was stopped."""
    precisions: ClassVar[tuple[str, ...]] = ()
    """What a budget chooses from for each layer, most bits first: `float`, one of 8 bits, fewer.

    A pass that gives some takes them in its option `override`, each as `PATTERN=PRECISION`.
    """

    @abstractmethod
    def run(self, program: Program, context: Context) -> Outcome:
        """Rewrite `program` through an Emitter and report what was done."""

    @classmethod
    def summary(cls) -> str:
        """Return the first line of the pass's docstring."""
        return (cls.__doc__ or "").strip().split("\n")[0]
