"""Sizes known at run time are operands like other tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from rewrite.emitter import Emitter
from rewrite.pattern import Match, Op
from rewrite.program import Program
from rewrite.rules import Rule
from rewrite.schema import arguments

aten = torch.ops.aten
_BINARY: dict[Any, tuple[str, Any]] = {
    aten.remainder.Scalar: ("other", aten.remainder.Tensor),
    aten.remainder.Scalar_Tensor: ("self", aten.remainder.Tensor),
    aten.fmod.Scalar: ("other", aten.fmod.Tensor),
    aten.floor_divide.Scalar: ("other", aten.floor_divide.default),
    aten.pow.Tensor_Scalar: ("exponent", aten.pow.Tensor_Tensor),
    aten.pow.Scalar: ("self", aten.pow.Tensor_Tensor),
    aten.float_power.Tensor_Scalar: ("exponent", aten.float_power.Tensor_Tensor),
    aten.bitwise_and.Scalar: ("other", aten.bitwise_and.Tensor),
    aten.bitwise_and.Scalar_Tensor: ("self", aten.bitwise_and.Tensor),
    aten.bitwise_or.Scalar: ("other", aten.bitwise_or.Tensor),
    aten.bitwise_or.Scalar_Tensor: ("self", aten.bitwise_or.Tensor),
    aten.bitwise_xor.Scalar: ("other", aten.bitwise_xor.Tensor),
    aten.bitwise_xor.Scalar_Tensor: ("self", aten.bitwise_xor.Tensor),
    aten.bitwise_left_shift.Tensor_Scalar: ("other", aten.bitwise_left_shift.Tensor),
    aten.bitwise_left_shift.Scalar_Tensor: ("self", aten.bitwise_left_shift.Tensor),
    aten.bitwise_right_shift.Tensor_Scalar: ("other", aten.bitwise_right_shift.Tensor),
    aten.bitwise_right_shift.Scalar_Tensor: ("self", aten.bitwise_right_shift.Tensor),
    aten.__lshift__.Scalar: ("other", aten.bitwise_left_shift.Tensor),
    aten.__rshift__.Scalar: ("other", aten.bitwise_right_shift.Tensor),
}
_PRODUCTS: dict[Any, Any] = {
    aten.addcmul.default: aten.mul.Tensor,
    aten.addcdiv.default: aten.div.Tensor,
}


class SymbolicOperand(Rule):
    """f(x, n) = f(x, the tensor n), n a size known at run time and x a tensor, or the reverse.

    The exporter takes the size for a number.
    """

    pattern = Op(tuple(_BINARY), "call")
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline operands that are numbers."""
        name, _ = _BINARY[match.root.target]
        is_symbol = isinstance(arguments(match.root)[name], fx.Node)
        return None if is_symbol else "its operand is a number"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the size as a tensor of the dtype that both are promoted to, and the call."""
        name, overload = _BINARY[match.root.target]
        bound = arguments(match.root)
        size = bound.pop(name)
        (other,) = bound.values()
        kind = torch.result_type(other.meta["val"], _plain(size))
        tensor = emit.call(
            aten.scalar_tensor.default,
            like=match.root,
            s=size,
            dtype=kind,
            device=other.meta["val"].device,
        )
        named = {name: tensor, **bound}
        return emit.call(overload, like=match.root, val=match.root.meta["val"], **named)


class SymbolicFactor(Rule):
    """addcmul(x, a, b, n) = x + a·b·n, n a size known at run time; addcdiv alike."""

    pattern = Op(tuple(_PRODUCTS), "call")
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline factors that are numbers."""
        is_symbol = isinstance(arguments(match.root)["value"], fx.Node)
        return None if is_symbol else "its factor is a number"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the product, its factor and the sum."""
        bound = arguments(match.root)
        product = emit.call(
            _PRODUCTS[match.root.target],
            like=match.root,
            self=bound["tensor1"],
            other=bound["tensor2"],
        )
        scaled = emit.call(aten.mul.Tensor, like=match.root, self=product, other=bound["value"])
        val = match.root.meta["val"]
        return emit.call(
            aten.add.Tensor, like=match.root, val=val, self=bound["self"], other=scaled
        )


class SymbolicBounds(Rule):
    """hardtanh(x, a, b) = clamp(x, a, b), a or b a size known at run time."""

    pattern = Op(aten.hardtanh.default, "call")
    report_misses = False

    def check(self, match: Match, program: Program) -> str | None:
        """Decline bounds that are numbers."""
        bound = arguments(match.root)
        symbols = [isinstance(bound[name], fx.Node) for name in ("min_val", "max_val")]
        return None if any(symbols) else "its bounds are numbers"

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the clamp."""
        bound = arguments(match.root)
        return emit.call(
            aten.clamp.default,
            like=match.root,
            val=match.root.meta["val"],
            self=bound["self"],
            min=bound["min_val"],
            max=bound["max_val"],
        )


def _plain(size: fx.Node) -> int | float:
    return 1.0 if isinstance(size.meta["val"], (torch.SymFloat, float)) else 1


SYMBOLIC_SCALAR_RULES: list[Rule] = [SymbolicOperand(), SymbolicFactor(), SymbolicBounds()]
