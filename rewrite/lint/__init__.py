"""Holding an ONNX file to the written rules of a target, without the runtime itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rewrite.errors import CheckError, unknown
from rewrite.lint import (
    biases,
    clamps,
    fan_out,
    layer_sizes,
    node_units,
    products,
    residuals,
    scales,
    shared_scales,
    types,
    weights,
    whole_file,
    zero_points,
)
from rewrite.lint.file import File
from rewrite.lint.rule import Rule, Violation
from rewrite.runtimes.qdq_graph import label
from rewrite.target import Target

__all__ = ["RULES", "File", "Rule", "Violation", "broken_rules", "lint", "rules_of"]

_MODULES = (
    whole_file,
    types,
    zero_points,
    scales,
    weights,
    biases,
    node_units,
    shared_scales,
    clamps,
    fan_out,
    products,
    residuals,
    layer_sizes,
)
RULES: dict[str, Rule] = {rule.name: rule for module in _MODULES for rule in module.RULES}
"""Every rule by its name."""


def rules_of(target: Target) -> list[Rule]:
    """Return the rules that a target names.

    Raises:
        UsageError: for a rule that does not exist, naming the target's file.
    """
    for name in target.rules:
        if name not in RULES:
            raise unknown("rule", name, RULES, where=target.source)
    return [RULES[name] for name in target.rules]


def lint(path: Path, target: Target) -> list[Violation]:
    """Return every place where a file breaks a rule of a target, rule by rule.

    Args:
        path: an ONNX file.
        target: names the rules, and gives the range of weights and the opsets.

    Raises:
        UsageError: for a file that is missing or no ONNX, or an unknown rule.
    """
    rules = rules_of(target)
    file = File.read(path, target)
    found = []
    for rule in rules:
        for node, message in rule.check(file):
            where = "the file" if node is None else label(node)
            found.append(Violation(rule.name, where, message, rule.source))
    return found


def broken_rules(path: Path, target: Target, violations: Sequence[Violation]) -> CheckError:
    """Return the error for a file that breaks rules of a target."""
    names = sorted({violation.rule for violation in violations})
    count = len(violations)
    return CheckError(
        f"the file breaks rules of target '{target.name}' in {count} "
        f"{'place' if count == 1 else 'places'}: {', '.join(names)}; the first is {violations[0]}",
        where=violations[0].line or None,
        hint=f"rewrite check {path.name} --target {target.name} lists all of them",
    )
