"""Weights in float16: whether they fit, and their twins."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import fx

from rewrite.emitter import Emitter
from rewrite.passes import Outcome, Rejection
from rewrite.quantization.kinds import is_weight
from rewrite.quantization.layer_patterns import matches
from rewrite.quantization.markers import DEQUANTIZE, DEQUANTIZE_BLOCKS, QUANTIZE

aten = torch.ops.aten
LARGEST = torch.finfo(torch.float16).max
"""65504: what is beyond half a step above is infinite."""
LEAST_NORMAL = torch.finfo(torch.float16).smallest_normal
"""2⁻¹⁴: below, float16 has fewer than 11 bits, and below 2⁻²⁵ nothing at all."""
_NAME = "float16"
MARKED = (QUANTIZE, DEQUANTIZE, DEQUANTIZE_BLOCKS)


def is_float32(node: fx.Node) -> bool:
    """Tell whether a node is a float32 tensor."""
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.dtype == torch.float32


def is_float16(node: fx.Node) -> bool:
    """Tell whether a node is a float16 tensor."""
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.dtype == torch.float16


class HalfWeights:
    """The float16 twins of weights, one for each, whoever reads it."""

    def __init__(self, emit: Emitter, small: float) -> None:
        """Take the share of numbers, in %, that may be below the least normal one."""
        self.emit = emit
        self.small = small

    def why_not(self, node: fx.Node) -> str:
        """Return why a weight does not fit into float16, '' if it does."""
        name, values = str(node.target), self.emit.program.weight(str(node.target)).detach()
        size = values.abs()
        size = size[torch.isfinite(size)]
        largest = float(size.max()) if size.numel() else 0.0
        if largest > LARGEST:
            return f"weight '{name}' reaches {largest:.3g}: float16 ends at {LARGEST:g}"
        if torch.equal(values.half().float(), values):
            return ""
        given = int((size > 0).sum())
        share = 100 * int(((size > 0) & (size < LEAST_NORMAL)).sum()) / max(given, 1)
        if share > self.small:
            return (
                f"{share:.1f} % of weight '{name}' are below {LEAST_NORMAL:.2g}, where float16 "
                f"loses bits (allowed: {self.small:g} %)"
            )
        return ""

    def twin(self, node: fx.Node) -> fx.Node:
        """Return a weight in float16."""
        # Rounded once, from float64; the unrounded value is forgotten, so that checks see the loss.
        return self.emit.weight(
            lambda: self.emit.tensor(node).half(), source=f"{node.target}_f16", recipe=(_NAME,)
        )


def store_halves(weights: HalfWeights, least: int, keep: Sequence[str] = ()) -> Outcome:
    """Let the program read its float32 weights from float16 ones.

    Args:
        weights: makes the twins, and edits the program.
        least: weights of so many elements or fewer stay.
        keep: patterns of modules, weights and nodes; what matches stays float32.
    """
    outcome, emit = Outcome(), weights.emit
    place = {node: index for index, node in enumerate(emit.graph.nodes)}
    for node in [n for n in emit.graph.nodes if is_weight(n) and is_float32(n)]:
        readers = sorted(node.users, key=place.__getitem__)
        if not readers or node.meta["val"].numel() <= least:
            continue
        if any(reader.target in MARKED for reader in readers):
            continue
        asked = any(matches(reader, pattern) for reader in readers for pattern in keep)
        reason = "left float32 on request" if asked else weights.why_not(node)
        if reason:
            outcome.rejected.append(Rejection.of("half-weight", readers[0], reason))
            continue
        _read_half(node, readers, weights.twin(node), emit)
        outcome.rewrites += 1
    return outcome


def _read_half(node: fx.Node, readers: list[fx.Node], twin: fx.Node, emit: Emitter) -> None:
    """Widen what readers see: rows behind an embedding, the whole weight before anything else."""
    wide: fx.Node | None = None
    for reader in readers:
        if reader.target is aten.embedding.default:
            emit.set_arguments(reader, weight=twin)
            rows = emit.call(
                aten._to_copy.default, like=reader, after=reader, self=reader, dtype=torch.float32
            )
            emit.redirect(reader, rows)
            continue
        if wide is None:
            wide = emit.call(aten._to_copy.default, like=reader, self=twin, dtype=torch.float32)
        emit.replace_use(reader, node, wide)
    emit.erase_dead(node)
