"""A captured program computes what the eager model computes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import fx, nn
from torch.utils import _pytree as pytree

from rewrite.equivalence import difference
from rewrite.errors import CaptureError
from rewrite.inputs import run_eager
from rewrite.output_lines import line_of_output, lines_that_write
from rewrite.program import Program
from rewrite.provenance import source_line
from rewrite.schema import arguments

_LOWEST_SQNR = 60.0
"""In dB: float32 computed in another order agrees to 100 dB and more; `lowest_sqnr` has others."""
_LOWEST_SHARE = 0.99
"""Of equal integers: two scores that are as good as equal may change places."""


def check_against_eager(model: nn.Module, program: Program, sample: Any) -> None:
    """Run a program on its example inputs and compare with what the eager model returned there.

    torch.export has known faults, such as losing a write through a view that it cannot see. A
    program that draws random numbers cannot be compared.

    Args:
        model: the eager model.
        program: captured from it.
        sample: its result for the example inputs.

    Raises:
        CaptureError: when an output differs.
    """
    args, kwargs = program.example
    worst = disagreement(program, sample, program(*args, **kwargs))
    if worst is None or draws(program):
        return
    found = "".join(f"; one is {line}" for line in lines_that_write(program, most=1))
    raise CaptureError(
        f"the captured program does not compute what the model does: {worst}",
        where=line_of_output(program, worst) or type(model).__name__,
        hint="torch.export loses writes to a tensor that shares memory with another; look for "
        f"in-place operations (x += y, x.add_(y), x[i] = y) and write them out of place{found}",
    )


def check_same_again(model: nn.Module, program: Program, sample: Any, kept: Sequence[str]) -> None:
    """Make sure that what a model keeps from its first call does not change its second.

    Args:
        model: called once.
        program: captured from it.
        sample: its first result for the example inputs.
        kept: the attributes that its first call changed.

    Raises:
        CaptureError: naming them, when the second result is another.
    """
    args, kwargs = program.example
    different = disagreement(program, sample, run_eager(model, args, kwargs))
    if different is None or draws(program):
        return
    names = ", ".join(f"'{name}'" for name in kept[:3])
    raise CaptureError(
        f"the model keeps state from call to call in {names}: called again, {different}",
        where=type(model).__name__,
        hint="take the state as an argument and return the new one",
    )


def check_deterministic(program: Program) -> None:
    """Make sure that a program computes the same each time: nothing about it can be checked else.

    Raises:
        CaptureError: for a call that draws random numbers, naming its line.
    """
    for node in program.graph.nodes:
        if _draws(node):
            raise CaptureError(
                f"the model draws random numbers: {node.target}",
                where=source_line(node) or None,
                hint="take the noise as an input, or leave it out in evaluation mode",
            )


def draws(program: Program) -> bool:
    """Tell whether a program draws random numbers."""
    return any(map(_draws, program.graph.nodes))


def _draws(node: fx.Node) -> bool:
    """Tell whether a call draws random numbers: one that drops nothing does not."""
    target = node.target
    if not isinstance(target, torch._ops.OpOverload):
        return False
    if torch.Tag.nondeterministic_seeded not in target.tags:
        return False
    bound = arguments(node)
    training = bound.get("train", bound.get("training", True))
    return bool(training) and bound.get("dropout_p", 1) != 0


def disagreement(program: Program, expected: Any, actual: Any) -> str | None:
    """Say which output is how far off, None if all agree."""
    floor = lowest_sqnr(program, expected)
    pairs = zip(pytree.tree_leaves(expected), pytree.tree_leaves(actual), strict=True)
    for name, (left, right) in zip(program.signature.output_names, pairs, strict=True):
        if not isinstance(left, torch.Tensor):
            continue
        if left.dtype != right.dtype:
            return f"output '{name}' is {right.dtype}, not {left.dtype}"
        if left.shape != right.shape:
            return f"output '{name}' has shape {list(right.shape)}, not {list(left.shape)}"
        if left.is_floating_point():
            sqnr = difference([(left, right)]).sqnr_db
            if not sqnr >= floor:
                return f"output '{name}' agrees to {sqnr:.1f} dB only"
        elif left.numel() and float((left == right).double().mean()) < _LOWEST_SHARE:
            return f"output '{name}' differs in its integers"
    return None


def lowest_sqnr(program: Program, results: Any) -> float:
    """Return half the bits of the coarsest type that takes part, in dB, or less."""
    tensors = [t for t in pytree.tree_leaves(results) if isinstance(t, torch.Tensor)]
    tensors += [t for _, t in program.used_weights()]
    steps = [torch.finfo(t.dtype).eps for t in tensors if t.is_floating_point()]
    return min([_LOWEST_SQNR, *(-10 * math.log10(eps) for eps in steps)])
