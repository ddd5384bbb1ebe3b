"""Padding: which tokens of a batch count, and where they are in each tensor of a program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from rewrite.errors import UsageError, unknown
from rewrite.program import Program

_CONVENTIONAL = ("attention_mask", "padding_mask")
_INTEGERS = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


@dataclass(frozen=True)
class Mask:
    """One input of shape [batch, tokens] that tells tokens from padding."""

    name: str
    batch: Any
    """Size of the first dimension: an integer, or the symbol of a dynamic dimension."""
    tokens: Any
    """Symbol of the second dimension."""

    @property
    def marks_padding(self) -> bool:
        """Whether ones are padding, as in `torch.nn.MultiheadAttention`, instead of tokens."""
        return self.name.endswith("padding_mask")

    def kept(self, value: torch.Tensor) -> torch.Tensor:
        """Return which tokens count, bool, shape [batch, tokens]."""
        return value == 0 if self.marks_padding else value != 0

    def dimensions(self, shape: list[Any]) -> list[tuple[int, ...]]:
        """Return where (batch, tokens), or the two as one, are in a shape, once per token axis."""
        both = self.batch * self.tokens
        if both in shape:
            return [(shape.index(both),)]
        batch = 0 if isinstance(self.batch, int) else _place(shape, self.batch)
        if batch is None or not shape or shape[batch] != self.batch:
            return []
        return [(batch, i) for i, size in enumerate(shape) if size == self.tokens]


@dataclass(frozen=True)
class Padding:
    """The masks of a program."""

    masks: tuple[Mask, ...]

    def kept(self, inputs: Mapping[str, Any]) -> dict[Mask, torch.Tensor]:
        """Return which tokens of a batch count, by mask."""
        return {mask: mask.kept(inputs[mask.name]) for mask in self.masks}

    def select(
        self, node: fx.Node, value: torch.Tensor, kept: Mapping[Mask, torch.Tensor]
    ) -> torch.Tensor:
        """Return the values of the tokens that count, or all where a tensor has no token axis.

        Args:
            node: what makes the value.
            value: one batch of it.
            kept: which tokens of that batch count.
        """
        chosen = self.where(node, value, kept)
        if chosen is None:
            return value
        axes = [axis for axis, wide in enumerate(self._axes(node)) if wide]
        front = value.movedim(axes, list(range(len(axes))))
        return front[chosen.reshape([value.shape[axis] for axis in axes])]

    def where(
        self, node: fx.Node, value: torch.Tensor, kept: Mapping[Mask, torch.Tensor]
    ) -> torch.Tensor | None:
        """Return which values count, bool, to be broadcast over `value`; None when all do.

        A tensor belongs to tokens when its symbolic shape, `node.meta["val"]`, has the two sizes of
        a mask: [B, S, C], [S, B, C], [B·S, C]. Of attention scores [B, H, S, S], a value counts
        when its row and its column do. What is fixed per position, such as [1, S, C], counts.
        """
        found = self._places(node)
        if len(self._axes(node)) != value.dim() or all(bool(kept[m].all()) for m, _ in found):
            return None
        chosen = torch.ones([1] * value.dim(), dtype=torch.bool, device=value.device)
        for mask, dims in found:
            chosen = chosen & _spread(kept[mask], dims, value.dim()).to(value.device)
        return chosen

    def _places(self, node: fx.Node) -> list[tuple[Mask, tuple[int, ...]]]:
        val = node.meta.get("val")
        shape = [_symbol(size) for size in val.shape] if isinstance(val, torch.Tensor) else []
        return [(mask, dims) for mask in self.masks for dims in mask.dimensions(shape)]

    def _axes(self, node: fx.Node) -> list[bool]:
        """Tell for each dimension of a node's value whether it counts batches or tokens."""
        val = node.meta.get("val")
        rank = val.dim() if isinstance(val, torch.Tensor) else 0
        wide = {axis for _, dims in self._places(node) for axis in dims}
        return [axis in wide for axis in range(rank)]


def find_padding(program: Program, name: str | None = None) -> tuple[Padding | None, list[str]]:
    """Find the inputs that tell tokens from padding, and warnings about those that are not used.

    Without a name these are the integer or bool inputs of two dimensions called `...attention_mask`
    or `...padding_mask`, names whose ones have a meaning by convention: what another mask hides is
    for the user to say. Of several with the same sizes the first, an attention mask before others.
    What a mask says of each tensor follows from symbolic sizes, so its tokens must be dynamic.

    Args:
        program: captured, with symbolic shapes.
        name: the mask, when it is called otherwise.

    Raises:
        UsageError: when the input named is no such mask.
    """
    inputs = dict(zip(program.signature.input_names, program.inputs(), strict=True))
    if name is not None:
        if name not in inputs:
            raise unknown("input", name, inputs)
        mask = _mask(name, inputs[name])
        if isinstance(mask, str):
            raise UsageError(f"'{name}' cannot be the mask: {mask}", hint="calibrate{mask=INPUT}")
        return Padding((mask,)), []
    named = [n for n in inputs if n.endswith(_CONVENTIONAL) and not n.startswith("global")]
    named.sort(key=lambda n: "attention" not in n)
    found: dict[tuple[Any, Any], Mask] = {}
    warnings = []
    for each in named:
        mask = _mask(each, inputs[each])
        if isinstance(mask, Mask):
            found.setdefault((mask.batch, mask.tokens), mask)
        else:
            warnings.append(f"padding counts: '{each}' is not used as a mask, since {mask}")
    if not found:
        warnings += [_unasked(n) for n in inputs if n not in named and _looks_like_one(n, inputs)]
    return (Padding(tuple(found.values())) if found else None), warnings


def _looks_like_one(name: str, inputs: Mapping[str, fx.Node]) -> bool:
    return "mask" in name.lower() and isinstance(_mask(name, inputs[name]), Mask)


def _unasked(name: str) -> str:
    return (
        f"padding counts in calibration: if ones of '{name}' mark tokens, say "
        f"calibrate{{mask={name}}}; if it hides something else, calibrate{{padding=count}}"
    )


def _mask(name: str, node: fx.Node) -> Mask | str:
    """Return the mask that an input is, or why it is none."""
    val = node.meta.get("val")
    if not isinstance(val, torch.Tensor) or val.dtype not in _INTEGERS:
        return "it does not hold integers or bools"
    if val.dim() != 2:
        return f"it has {val.dim()} dimensions, not batch and tokens"
    batch, tokens = (_symbol(size) for size in val.shape)
    if isinstance(tokens, int):
        return "its number of tokens is fixed; make that dimension dynamic"
    return Mask(name, batch, tokens)


def _symbol(size: Any) -> Any:
    """Return an integer, or the expression of a dynamic size."""
    return size.node.expr if isinstance(size, torch.SymInt) else int(size)


def _place(shape: list[Any], size: Any) -> int | None:
    return shape.index(size) if size in shape else None


def _spread(kept: torch.Tensor, dims: tuple[int, ...], rank: int) -> torch.Tensor:
    """Shape [batch, tokens] for broadcasting against a tensor with those at `dims`."""
    if len(dims) == 1:
        kept = kept.reshape(-1)
    order = sorted(range(len(dims)), key=dims.__getitem__)
    shape = [1] * rank
    for axis in order:
        shape[dims[axis]] = kept.shape[axis]
    return kept.permute(order).reshape(shape)
