"""How many nodes of a file run as it asks: counted, told and held to.

Imports nothing heavy: the command line's help comes with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rewrite.errors import CheckError

if TYPE_CHECKING:
    from rewrite.runtimes import KernelVerdict


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
