"""What a pass did, whatever it says: its program is compared with the one before, in float64."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rewrite import equivalence
from rewrite.analyses import AnalysisCache
from rewrite.checks.judge import Judge
from rewrite.draws import Inputs, runnable_inputs
from rewrite.errors import PluginError
from rewrite.fingerprint import Fingerprint, fingerprints
from rewrite.passes import Pass
from rewrite.program import Program
from rewrite.undecided import settle

_OUTPUTS = "outputs in float64"
"""Analysis of a checked program: what it computes on the inputs of the check."""


@dataclass(frozen=True)
class _Computed:
    """What a program computes on the inputs of the checks."""

    inputs: list[Inputs]
    outputs: list[list[Any]]
    unseen: str
    """Why there are no inputs of other sizes; empty where there are, or where all are fixed."""


class PassChecks:
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
        """What could not be compared, in sentences."""
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

    def keep(self, cache: AnalysisCache, program: Program) -> None:
        """Remember what a program computes: the next passes are compared with it."""
        cache.put(_OUTPUTS, program, self.computed)

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
                f"pass '{p.name}'{whence(self.origin, p.name)} {what} in place: every program and "
                "the model itself share it",
                where=file_of(p),
                hint="make a new one: Emitter(program).weight(value, source, recipe)",
            )
        if {kept.calling, made.calling} != {self.seen.calling}:
            raise PluginError(
                f"pass '{p.name}'{whence(self.origin, p.name)} changed how the program is called",
                where=file_of(p),
                hint="names and order of inputs and outputs, and the example, are the model's",
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


def _evaluate(
    p: Pass, program: Program, inputs: list[Inputs], origin: Callable[[str], str]
) -> list[list[Any]]:
    try:
        return equivalence.reference(program, inputs)
    except Exception as error:
        raise PluginError(
            f"the program does not run after pass '{p.name}'{whence(origin, p.name)}: "
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            hint="a size may have been baked in; leave the pass out, and report the model",
        ) from error


def whence(origin: Callable[[str], str], name: str) -> str:
    """Say which distribution a pass comes from, '' for one of our own."""
    source = origin(name)
    return f" (from {source})" if source else ""


def file_of(p: Pass) -> str | None:
    """Return the source file of a pass, None for one that has none."""
    return getattr(sys.modules.get(type(p).__module__), "__file__", None)
