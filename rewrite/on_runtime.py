"""What one runtime made of a file: how it agrees, which kernels it chose, what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rewrite.errors import CheckError
from rewrite.output_agreement import Agreement
from rewrite.runtimes import KernelVerdict


@dataclass
class OnRuntime:
    """What one runtime made of the file."""

    name: str
    version: str
    agreement: Agreement | None = None
    """None when it could not run the file."""
    kernels: list[KernelVerdict] = field(default_factory=list)
    problem: str = ""
    """Why the file is not to be used with it; empty if all is well."""

    def as_json(self) -> dict[str, Any]:
        """Return the entry of `runtimes` in the command line's JSON."""
        return {
            "version": self.version,
            "agreement": self.agreement.as_json() if self.agreement else None,
            "int8": int8_summary(self.kernels),
            "problem": self.problem or None,
        }


def require_int8(verdicts: Sequence[KernelVerdict], percent: float) -> None:
    """Fail when fewer nodes than asked for run in int8.

    Raises:
        CheckError: with the first node that fell back and its reason.
    """
    summary = int8_summary(verdicts)
    eligible, fired = summary["eligible"], summary["fired"]
    share = 100.0 * fired / eligible if eligible else 0.0
    if share >= percent:
        return
    first = summary["fallbacks"][0] if summary["fallbacks"] else None
    raise CheckError(
        f"{run_text(summary)} ({share:.0f} %, required: {percent:g} %)",
        where=f"{first['node']}: {first['reason']}" if first else None,
        hint="see the fallbacks in --json for every reason",
    )


def run_text(summary: Mapping[str, Any]) -> str:
    """Say how many nodes run as the file asks, of what `int8_summary` returns."""
    fired, eligible, weight_only = (summary[n] for n in ("fired", "eligible", "weight_only"))
    how = "in int8"
    if weight_only:
        how = "on integer weights" if weight_only == eligible else "in int8 or on integer weights"
    return f"{fired} of {eligible} eligible nodes run {how}"


def int8_summary(verdicts: Sequence[KernelVerdict]) -> dict[str, Any]:
    """Count kernels and list the eligible nodes that fell back, with their reasons."""
    eligible = [v for v in verdicts if v.eligible]
    return {
        "fired": sum(v.fired for v in eligible),
        "eligible": len(eligible),
        "weight_only": sum(v.weight_only for v in eligible),
        "compute_nodes": len(verdicts),
        "fallbacks": [{"node": v.node, "reason": v.reason} for v in eligible if not v.fired],
        "float": [{"node": v.node, "reason": v.reason} for v in verdicts if not v.eligible],
    }
