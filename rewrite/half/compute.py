"""A program that computes in float16 what loses little there, and the rest in float32."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import fx
from torch.fx.node import map_arg

from rewrite.emitter import Emitter
from rewrite.half.ranges import Ranges
from rewrite.half.weights import (
    LARGEST,
    LEAST_NORMAL,
    MARKED,
    HalfWeights,
    is_float16,
    is_float32,
)
from rewrite.passes import Outcome, Rejection
from rewrite.quantization.kinds import is_weight
from rewrite.quantization.layer_patterns import matches
from rewrite.quantization.markers import DEQUANTIZE, DEQUANTIZE_BLOCKS, QUANTIZE
from rewrite.schema import argument, arguments, is_call

aten = torch.ops.aten
_GAINS = frozenset(
    {
        aten.conv1d.default, aten.conv2d.default, aten.conv3d.default,
        aten.conv_transpose1d.default, aten.conv_transpose2d.input, aten.conv_transpose3d.input,
        aten.linear.default, aten.matmul.default, aten.embedding.default,
    }
)  # fmt: skip
"""Worth a cast in front of them: products, and tables that are half as large."""
_FOLLOWS = frozenset(
    {
        aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.maximum.default,
        aten.minimum.default, aten.neg.default, aten.abs.default, aten.relu.default,
        aten.hardtanh.default, aten.clamp.default, aten.clamp_min.default,
        aten.leaky_relu.default, aten.gelu.default, aten.silu.default, aten.sigmoid.default,
        aten.tanh.default, aten.hardswish.default, aten.hardsigmoid.default,
        aten.reshape.default, aten.permute.default, aten.unsqueeze.default, aten.slice.Tensor,
        aten.select.int, aten.expand.default, aten.pixel_shuffle.default, aten.cat.default,
        aten.pad.default, aten.max_pool1d.default, aten.max_pool2d.default,
        aten.max_pool3d.default,
    }
)  # fmt: skip
"""Goes along when what it reads is float16."""
_LOSES = frozenset(
    {
        aten.layer_norm.default, aten.rms_norm.default, aten.batch_norm.default,
        aten.group_norm.default, aten.instance_norm.default, aten.softmax.int,
        aten.log_softmax.int, aten.mean.dim, aten.sum.dim_IntList, aten.var.correction,
        aten.avg_pool1d.default, aten.avg_pool2d.default, aten.adaptive_avg_pool2d.default,
        aten.exp.default, aten.log.default, aten.pow.Tensor_Scalar, aten.sqrt.default,
        aten.rsqrt.default, aten.div.Tensor, aten.reciprocal.default, aten.cumsum.default,
    }
)  # fmt: skip
"""Stays float32: its sums round too often, or its results leave the range. What is in no set, and
so has not been looked at, stays float32 as well."""
_NUMBERS = ("other", "alpha", "min", "max", "min_val", "max_val", "value", "negative_slope")
"""Arguments that are numbers of the tensor's own type."""


def compute_halves(
    weights: HalfWeights,
    ranges: Ranges,
    headroom: float,
    *,
    keep: Sequence[str] = (),
    scales: bool = False,
) -> Outcome:
    """Turn the float part of a program into float16 where it may be.

    Args:
        weights: makes the float16 twins of weights, and edits the program.
        ranges: how large values get.
        headroom: how many times the largest value seen must fit.
        keep: patterns of modules, weights and nodes; what matches stays float32.
        scales: whether quantizers may have float16 scales.
    """
    emit = weights.emit
    halving = _Halving(emit, weights, ranges.largest, headroom, tuple(keep))
    nodes = list(emit.graph.nodes)
    if scales:
        halving.choose_scales(nodes)
    for node in nodes:
        halving.visit(node)
    return halving.outcome


@dataclass
class _Halving:
    """One walk over a program, producers first."""

    emit: Emitter
    weights: HalfWeights
    largest: dict[fx.Node, float]
    headroom: float
    keep: tuple[str, ...]
    scales: set[str] = field(default_factory=set)
    """Names of the scales that become float16."""
    casts: dict[tuple[fx.Node, torch.dtype], fx.Node] = field(default_factory=dict)
    outcome: Outcome = field(default_factory=Outcome)

    def choose_scales(self, nodes: Iterable[fx.Node]) -> None:
        """Choose the scales that all who read them can read in float16."""
        for node in nodes:
            readers = list(node.users)
            if not (is_weight(node) and is_float32(node) and readers):
                continue
            if all(r.target in MARKED and _has_narrow_integers(r) for r in readers):
                size = self.emit.program.weight(str(node.target)).abs()
                if float(size.min()) >= LEAST_NORMAL and float(size.max()) * 255 <= LARGEST:
                    self.scales.add(str(node.target))

    def visit(self, node: fx.Node) -> None:
        """Make a call float16, or widen what it reads."""
        if node.op not in ("call_function", "output") or _is_done(node):
            return
        reason = self.why_not(node)
        if reason is None:
            self.halve(node)
            return
        if reason:
            self.outcome.rejected.append(Rejection.of("half-call", node, reason))
        if _is_cast(node) or is_call(node, aten.sym_size.int):
            return
        for source in node.all_input_nodes:
            if is_float16(source):
                self.emit.replace_use(node, source, self._cast(source, torch.float32, node))

    def why_not(self, node: fx.Node) -> str | None:
        """Return why a call stays float32, '' where that needs no word, None if it does not."""
        if node.target in (QUANTIZE, DEQUANTIZE, DEQUANTIZE_BLOCKS):
            return None if str(argument(node, "scale").target) in self.scales else ""
        inputs = [n for n in node.all_input_nodes if is_float32(n) or is_float16(n)]
        if not is_float32(node) or not inputs or _is_cast(node):
            return ""
        if node.target not in _GAINS | _FOLLOWS:
            return _stays(node) if any(map(is_float16, inputs)) else ""
        if node.target in _FOLLOWS and not any(map(is_float16, inputs)):
            return ""
        if any(matches(node, pattern) for pattern in self.keep):
            return "left float32 on request"
        if any(is_call(n, DEQUANTIZE, DEQUANTIZE_BLOCKS) and is_float32(n) for n in inputs):
            return "it is quantized, and its scales stay float32"
        return self._overflow(node, inputs) or None

    def halve(self, node: fx.Node) -> None:
        """Let a call read and give float16."""
        given = map_arg(arguments(node), lambda source: self.narrowed(source, node))
        self.emit.set_arguments(node, **given)
        self.outcome.rewrites += 1

    def narrowed(self, source: fx.Node, reader: fx.Node) -> fx.Node:
        """Return a float32 value as float16, anything else as it is."""
        if not is_float32(source):
            return source
        if is_weight(source):
            return self.weights.twin(source)
        if _is_cast(source) and is_float16(argument(source, "self")):
            return argument(source, "self")  # type: ignore[no-any-return]
        return self._cast(source, torch.float16, reader)

    def _cast(self, source: fx.Node, dtype: torch.dtype, reader: fx.Node) -> fx.Node:
        """Return a value in another type, converted once for all who read it."""
        made = self.casts.get((source, dtype))
        if made is None:
            last = source
            while last.op == "placeholder" and last.next.op in ("placeholder", "get_attr"):
                last = last.next
            made = self.emit.call(
                aten._to_copy.default, like=reader, after=last, self=source, dtype=dtype
            )
            self.casts[source, dtype] = made
        return made

    def _overflow(self, node: fx.Node, inputs: list[fx.Node]) -> str:
        """Return what around a call does not fit into float16, '' if all does."""
        for name, value in arguments(node).items():
            if name in _NUMBERS and isinstance(value, (int, float)) and not _fits(value):
                return f"its {name} is {value:g}, which float16 does not hold"
        for source in (*inputs, node):
            if is_weight(source):
                reason = self.weights.why_not(source) if is_float32(source) else ""
            else:
                reason = self._range_problem(source, "its result" if source is node else "")
            if reason:
                return reason
        return ""

    def _range_problem(self, node: fx.Node, name: str) -> str:
        name, size = name or f"'{node.name}', which it reads,", self.largest.get(node)
        if size is None or size == 0:
            return ""
        if size == float("inf"):
            return f"{name} holds infinite values or NaN"
        if size > LARGEST / self.headroom:
            return (
                f"{name} reaches {size:.3g}: float16 ends at {LARGEST:g}, and room is left for "
                f"{self.headroom:g} times what was seen"
            )
        if size < LEAST_NORMAL:
            return f"{name} stays below {size:.2g}, where float16 loses bits"
        return ""


def _stays(node: fx.Node) -> str:
    if node.target in _LOSES:
        return "float16 loses in norms, softmax, sums, quotients and powers"
    return "float16 is not known to be enough for it"


def _fits(value: float) -> bool:
    return value == 0 or LEAST_NORMAL <= abs(value) <= LARGEST


def _is_done(node: fx.Node) -> bool:
    """Tell whether a call computes in float16 already, or quantizes from it."""
    return is_float16(node) or (node.target in MARKED and is_float16(argument(node, "scale")))


def _is_cast(node: fx.Node) -> bool:
    return is_call(node, aten._to_copy.default)


def _has_narrow_integers(node: fx.Node) -> bool:
    """Tell whether the integers of a quantizer or dequantizer have eight bits at most."""
    name = "zero_point" if node.target is QUANTIZE else "x"
    dtype = argument(node, name).meta["val"].dtype
    return dtype in (torch.int8, torch.uint8)
