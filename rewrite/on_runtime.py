"""What one runtime made of a file: how it agrees, which kernels it chose, what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
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
        f"{fired} of {eligible} eligible nodes run in int8 ({share:.0f} %, "
        f"required: {percent:g} %)",
        where=f"{first['node']}: {first['reason']}" if first else None,
        hint="see the fallbacks in --json for every reason",
    )


def int8_summary(verdicts: Sequence[KernelVerdict]) -> dict[str, Any]:
    """Count kernels and list the eligible nodes that fell back, with their reasons."""
    eligible = [v for v in verdicts if v.eligible]
    return {
        "fired": sum(v.fired for v in eligible),
        "eligible": len(eligible),
        "compute_nodes": len(verdicts),
        "fallbacks": [{"node": v.node, "reason": v.reason} for v in eligible if not v.fired],
        "float": [{"node": v.node, "reason": v.reason} for v in verdicts if not v.eligible],
    }
