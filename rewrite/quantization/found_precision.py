"""The precision that a call has in a quantized program, read off its quantizers."""

from __future__ import annotations

import torch
from torch import fx

from rewrite.program import Program
from rewrite.quantization.kinds import is_weight
from rewrite.quantization.markers import DEQUANTIZE, DEQUANTIZE_BLOCKS, QUANTIZE
from rewrite.quantization.precision import Precision
from rewrite.schema import arguments


def found_precision(node: fx.Node, program: Program) -> Precision:
    """Return the bits of a call's weight and of the activations it reads, None for float ones."""
    bits = [_bits(source, program) for source in node.all_input_nodes]
    weights = [weight for weight, _ in bits if weight is not None]
    activations = [activation for _, activation in bits if activation is not None]
    return Precision(min(weights, default=None), min(activations, default=None))


def _bits(source: fx.Node, program: Program) -> tuple[int | None, int | None]:
    if source.target is DEQUANTIZE_BLOCKS:
        return int(arguments(source)["bits"]), None
    if source.target is not DEQUANTIZE:
        return None, None
    quantized = arguments(source)["x"]
    if is_weight(quantized):
        return _bits_of(program.weight(str(quantized.target))), None
    if not isinstance(quantized, fx.Node) or quantized.target is not QUANTIZE:
        return None, None
    bound = arguments(quantized)
    return None, int(bound["qmax"] - bound["qmin"]).bit_length()


def _bits_of(integers: torch.Tensor) -> int | None:
    """Return how many bits hold the integers of a weight, and None for a bias."""
    if integers.dtype == torch.int32 or integers.numel() == 0:
        return None
    low, high = (int(end) for end in integers.aminmax())
    if not integers.dtype.is_signed:
        return high.bit_length()
    # n bits reach from -2^(n-1) to 2^(n-1) - 1.
    return max(-low - 1, high).bit_length() + 1
