"""What compiling does with a file that nothing here can run: it holds it to the rules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx_ir as ir

from rewrite.lint import Violation, broken_rules, lint
from rewrite.lowering.origin import origins_of
from rewrite.request import Checks
from rewrite.runtimes import get_runtime
from rewrite.talk import Talk
from rewrite.target import Target


def hold_to_rules(
    path: Path, model: ir.Model, target: Target, checks: Checks, talk: Talk
) -> list[Violation]:
    """Hold a file to what is written of its target, if nothing here can run it.

    Args:
        path: the file.
        model: the file as it was lowered, which knows the lines of the user's source.
        target: names the runtimes and the rules.
        checks: `strict` raises, `report` tells, `off` looks at nothing.
        talk: told of every place.

    Raises:
        CheckError: when it breaks a rule and `checks` is strict.
    """
    runnable = target.fits_here and any(get_runtime(name).available() for name in target.runtimes)
    if runnable or checks == "off":
        return []
    talk.step(f"nothing here runs files for '{target.name}': hold it to {len(target.rules)} rules")
    found = lint(path, target)
    lines = origins_of(model, {violation.node for violation in found})
    violations = [replace(violation, line=lines[violation.node]) for violation in found]
    if violations and checks == "strict":
        error = broken_rules(path, target, violations)
        error.hint = "--checks report writes it all the same, and tells every place"
        raise error
    for violation in violations:
        talk.warn(f"{violation}, {violation.line}" if violation.line else str(violation))
    return violations
