"""Why a call cannot be computed on integers, whatever the target would like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from rewrite.checks.finite import all_finite
from rewrite.program import Program
from rewrite.quantization.kinds import is_weight, kind
from rewrite.quantization.markers import DEQUANTIZE_BLOCKS
from rewrite.quantization.signs import is_never_negative
from rewrite.quantization.weights import channels
from rewrite.schema import arguments
from rewrite.target import OpRule, Target


class Obstacles:
    """Finds what keeps calls of a program float.

    Args:
        program: canonical.
        target: the rules.
        why_float: says why a call is to stay float, and nothing where it need not.
    """

    def __init__(
        self, program: Program, target: Target, why_float: Callable[[fx.Node], str]
    ) -> None:
        self._program = program
        self._target = target
        self._why_float = why_float
        self._constants = _constants(program)

    def of(self, node: fx.Node, rule: OpRule) -> str:
        """Return the reason why a call stays float; '' where nothing is in the way."""
        reason = self._why_float(node)
        if reason:
            return reason
        bound = arguments(node)
        for name, spec in rule.inputs.items():
            reason = self._at(node, name, bound.get(name), spec)
            if reason:
                return reason
        first = bound.get(next(iter(rule.inputs), ""))
        if rule.no_zero_point and isinstance(first, fx.Node) and not is_never_negative(first):
            return "its input may be negative: int8 kernels take integers without a zero point"
        if not self._is_finite(bound.get("bias")):
            return "its bias holds NaN or infinite values, which no scale represents"
        return _too_narrow(node, rule.least_channels)

    def _at(self, node: fx.Node, name: str, value: Any, spec: str) -> str:
        if value is None:
            return ""
        values = values_of(value)
        if not values:
            return f"its {name} is a literal"
        for each in values:
            val = each.meta.get("val")
            if not isinstance(val, torch.Tensor) or val.dtype != torch.float32:
                return f"its {name} is {getattr(val, 'dtype', 'no tensor')}, not float32"
            if any(isinstance(size, int) and size == 0 for size in val.shape):
                return f"its {name} has no elements"
            if not self._is_finite(each):
                return f"its {name} holds NaN or infinite values, which no scale represents"
            constant = is_weight(each) or each.target is DEQUANTIZE_BLOCKS
            if self._target.spec(spec).per_channel and not constant:
                return f"its {name} is computed at run time, so it has no fixed scale per channel"
            if kind(node) == "matmul" and val.dim() < 2:
                return f"its {name} is a vector"
            if kind(node) == "matmul" and name == "self" and each in self._constants:
                return "its first factor is constant, which int8 kernels take second"
        return ""

    def _is_finite(self, source: Any) -> bool:
        """Tell whether a constant, such as a weight or a mask, has a range."""
        if not isinstance(source, fx.Node) or not is_weight(source):
            return True
        return all_finite(self._program.weight(str(source.target)))


def values_of(argument: Any) -> list[fx.Node]:
    """Return the tensors of one argument: itself, or a list's."""
    given = argument if isinstance(argument, (list, tuple)) else [argument]
    return [each for each in given if isinstance(each, fx.Node)]


def _constants(program: Program) -> set[fx.Node]:
    """Return what depends on no input: weights, and what is computed of them alone."""
    found: set[fx.Node] = set()
    for node in program.graph.nodes:
        computed = node.op == "call_function" and found.issuperset(node.all_input_nodes)
        if is_weight(node) or computed:
            found.add(node)
    return found


def _too_narrow(layer: fx.Node, least: int) -> str:
    """Say that a layer has fewer channels, in a group or out, than a target's kernels take."""
    found = channels(layer) if least else None
    if found is None or min(found.inside, found.outside) >= least:
        return ""
    each = f", in each of {found.groups} groups," if found.groups > 1 else ""
    return (
        f"it has {found.inside} channels in{each} and {found.outside} out: "
        f"int8 kernels take {least} or more"
    )
