"""Which tensors hold nothing below zero, whatever the inputs are."""

from __future__ import annotations

from torch import fx

from rewrite.quantization.kinds import is_weight, kind
from rewrite.schema import arguments

_POSITIVE = ("sigmoid", "hard-sigmoid", "softmax")
_KEPT = (
    "add",
    "average-pool",
    "concat",
    "global-average-pool",
    "layout",
    "max-pool",
    "mul",
    "nearest-resize",
    "split",
)
"""Kinds that give nothing negative where they read nothing negative."""


def is_never_negative(node: fx.Node) -> bool:
    """Tell whether a value is known to be at least 0 everywhere."""
    waiting, seen = [node], set()
    while waiting:
        each = waiting.pop()
        bound = lower_bound(each)
        if each in seen or kind(each) in _POSITIVE or (bound is not None and bound >= 0):
            continue
        if kind(each) not in _KEPT or not _adds_nothing_negative(each):
            return False
        seen.add(each)
        waiting += each.all_input_nodes
    return True


def lower_bound(node: fx.Node) -> float | None:
    """Return what a ReLU or a clip cuts its input off at below; None for others, and for none."""
    if kind(node) == "relu":
        return 0.0
    if kind(node) != "clip":
        return None
    bound = arguments(node)
    least = bound.get("min", bound.get("min_val", 0))
    return float(least) if isinstance(least, (int, float)) else None


def _adds_nothing_negative(node: fx.Node) -> bool:
    """Tell whether no weight takes part, and no number below zero."""
    numbers = [v for v in arguments(node).values() if isinstance(v, (int, float))]
    if kind(node) in ("add", "mul") and any(number < 0 for number in numbers):
        return False
    return not any(is_weight(source) for source in node.all_input_nodes)
