"""How many bits weights and activations get, for all layers and for some."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import fx

from rewrite.errors import UsageError
from rewrite.quantization.kinds import is_weight, kind
from rewrite.quantization.layer_patterns import matches
from rewrite.quantization.placement import Plan
from rewrite.quantization.spec import BITS, QuantSpec
from rewrite.target import Target

_NAME = re.compile(r"w(\d+)(?:a(\d+))?", re.IGNORECASE)
_HINT = "w8a8, w4a8, w8a16 …, w4 for weights alone, or float"


@dataclass(frozen=True)
class Precision:
    """Bits of a layer's weights and of the activations it reads; None for the target's own."""

    weight: int | None = None
    activation: int | None = None

    @classmethod
    def parse(cls, text: str) -> Precision | None:
        """Read `w4a8`, or `w4` for weights alone; None stands for `float`.

        Raises:
            UsageError: for anything else.
        """
        if text == "float":
            return None
        found = _NAME.fullmatch(text)
        if found is None:
            raise UsageError(f"'{text}' is no precision", hint=_HINT)
        weight, activation = (int(bits) if bits else None for bits in found.groups())
        for bits in (weight, activation):
            if bits is not None and bits not in BITS:
                raise UsageError(f"'{text}' is no precision: {bits} bits", hint="2 to 8, or 16")
        return cls(weight, activation)

    def __str__(self) -> str:
        """Return what `parse` reads; without bits it is `float`."""
        parts = (("w", self.weight), ("a", self.activation))
        return "".join(f"{letter}{bits}" for letter, bits in parts if bits) or "float"


@dataclass(frozen=True)
class Override:
    """Another precision for the layers that a pattern matches."""

    pattern: str
    precision: Precision | None
    """None leaves them float."""

    @classmethod
    def parse(cls, text: str) -> Override:
        """Read `PATTERN=PRECISION`, such as `blocks.0.*=w8a16` or `op:softmax=float`.

        Raises:
            UsageError: for anything else.
        """
        pattern, equals, precision = text.rpartition("=")
        if not equals or not pattern:
            raise UsageError(f"'{text}' is no override", hint=f"PATTERN=PRECISION: {_HINT}")
        return cls(pattern, Precision.parse(precision))

    def fits(self, node: fx.Node) -> bool:
        """Tell whether the pattern matches a call's kind or one of its names."""
        return matches(node, self.pattern)


def precision_of(
    node: fx.Node, default: Precision, overrides: Sequence[Override]
) -> Precision | None:
    """Return the precision of a call; the last override that fits it wins, None is float."""
    for override in reversed(overrides):
        if override.fits(node):
            return override.precision
    return default


def set_bits(
    plan: Plan,
    target: Target,
    wanted: Callable[[fx.Node], Precision | None],
    default: Precision,
) -> None:
    """Give every tensor of a plan its number of bits, in place.

    A tensor that is stored quantized has one scale for all that read it, so it gets the bits of the
    reader that wants most.

    Args:
        plan: of a target's own specs.
        target: these specs.
        wanted: precision of a call, None where it is float.
        default: of tensors that no kernel reads.
    """
    for index, edge in enumerate(plan.edges):
        precision = wanted(edge.consumer) or default
        bits = precision.weight if is_weight(edge.source) else precision.activation
        plan.edges[index] = replace(edge, spec=_with_bits(edge.spec, bits, target))
    bits_of: dict[fx.Node, int] = {}
    for node, (spec, owner) in plan.stored.items():
        for user in node.users:
            rule = target.ops.get(kind(user))
            reader = wanted(user) if rule and rule.mode == "always" else None
            if reader is not None:
                own = _bits(target.spec(spec))
                bits_of[owner] = max(bits_of.get(owner, 0), reader.activation or own)
    for node, (spec, owner) in plan.stored.items():
        bits = bits_of.get(owner, default.activation)
        plan.stored[node] = (_with_bits(spec, bits, target), owner)
    for index, edge in enumerate(plan.edges):
        rule = target.ops.get(kind(edge.consumer))
        if rule is not None and rule.mode == "table":
            # What is looked up are the table's own integers.
            plan.edges[index] = replace(edge, spec=plan.stored[edge.consumer][0])


def _with_bits(spec: str, bits: int | None, target: Target) -> str:
    """Return the name of a spec with so many bits; its own name where it has them."""
    return spec if bits in (None, _bits(target.spec(spec))) else f"{spec}@{bits}"


def _bits(spec: QuantSpec) -> int:
    return (spec.qmax - spec.qmin).bit_length()
