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
    layers, fired = summary["layers"], summary["in_int8"]
    share = 100.0 * fired / layers if layers else 0.0
    if share >= percent:
        return
    left = summary["fallbacks"] + [each for each in summary["float"] if each["has_weight"]]
    first = left[0] if left else None
    raise CheckError(
        f"{run_text(summary)} ({share:.0f} %, required: {percent:g} %)",
        where=f"{first['node']}: {first['reason']}" if first else None,
        hint="--json lists every one that does not, with its reason",
    )


def run_text(summary: Mapping[str, Any]) -> str:
    """Say how many nodes run as the file asks, of what `int8_summary` returns."""
    fired, eligible, weight_only = (summary[n] for n in ("fired", "eligible", "weight_only"))
    how = "in int8"
    if weight_only:
        how = "on integer weights" if weight_only == eligible else "in int8 or on integer weights"
    if summary["layers"] == eligible:
        return f"{fired} of {eligible} eligible nodes run {how}"
    told = f"{summary['in_int8']} of {summary['layers']} layers run {how}"
    left = summary["layers"] - eligible - (summary["in_int8"] - fired)
    return f"{told}; {left} {'is' if left == 1 else 'are'} wider in the file" if left else told


def int8_summary(verdicts: Sequence[KernelVerdict]) -> dict[str, Any]:
    """Count kernels and list the nodes that fell back or are float, with their reasons.

    Eligible is what the file asks for in int8; a layer is that, and whatever reads a weight.
    """
    eligible = [v for v in verdicts if v.eligible]
    layers = [v for v in verdicts if v.eligible or v.has_weight]
    return {
        "layers": len(layers),
        "in_int8": sum(v.fired for v in layers),
        "fired": sum(v.fired for v in eligible),
        "eligible": len(eligible),
        "weight_only": sum(v.weight_only for v in eligible),
        "compute_nodes": len(verdicts),
        "fallbacks": [{"node": v.node, "reason": v.reason} for v in eligible if not v.fired],
        "float": [
            {"node": v.node, "reason": v.reason, "has_weight": v.has_weight}
            for v in verdicts
            if not (v.eligible or v.fired)
        ],
    }
