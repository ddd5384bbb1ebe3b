"""The test kit for authors of passes.

`check_pass` holds a pass to everything the compiler relies on, `check_declines` shows that it
keeps its hands off, and `randomise_` takes away the constants that make wrong algebra look right.
"""

from __future__ import annotations

import dataclasses
import difflib
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from torch.utils import _pytree as pytree

from rewrite import equivalence, pytest_plugin
from rewrite.capture import capture
from rewrite.draws import check_inputs
from rewrite.errors import RewriteError
from rewrite.meta_check import wrong_values
from rewrite.passes import Context, Outcome, Pass
from rewrite.pipeline import run_passes
from rewrite.printer import diff_programs
from rewrite.program import Program
from rewrite.re_export import re_export
from rewrite.target import Target

REEXPORT_RELATIVE_ERROR = 1e-5
"""The same operators in the same order, in float32; only threads may differ."""

M = TypeVar("M", bound=nn.Module)


def check_pass(
    pass_: Pass,
    model: nn.Module | Program,
    inputs: Any = None,
    *,
    dynamic_shapes: Any = None,
    golden: Path | None = None,
    rewrites: int | None = None,
    target: Target | None = None,
    context: Context | None = None,
) -> Program:
    """Run a pass and check all it promises; return the rewritten program.

    The outputs agree in float64 on the example inputs and on other sizes of the dynamic
    dimensions, every node computes the dtype and shape it announces, torch.export takes the
    result, a second run does nothing, and the text of the program is that of the golden file.

    Args:
        pass_: the pass, made with its options.
        model: an eager model, which is put in evaluation mode, or a captured program.
        inputs: example inputs of a model: a tuple of arguments or a dict of keyword arguments.
        dynamic_shapes: as `torch.export.export` takes it.
        golden: text file to compare with; `pytest --update-golden` writes it.
        rewrites: how many rewrites there must be; at least one when it is not given.
        target: what `context.target` shall be.
        context: what the pass may use besides the program.

    Raises:
        AssertionError: with the program, or what the pass changed in it, as text.
    """
    program = _captured(model, inputs, dynamic_shapes)
    context = _context(context, target)
    rewritten, outcome = _run(pass_, program, context)
    _check_count(pass_, program, outcome, rewrites)
    _check_values(pass_, program, rewritten)
    _check_re_export(pass_, rewritten)
    _check_second_run(pass_, rewritten, context)
    if golden is not None:
        check_golden(rewritten.text(), golden)
    return rewritten


def check_declines(
    pass_: Pass,
    model: nn.Module | Program,
    inputs: Any = None,
    reason: str = "",
    *,
    dynamic_shapes: Any = None,
    target: Target | None = None,
    context: Context | None = None,
) -> Program:
    """Check that a pass leaves a program alone and says why; return the program.

    Args:
        pass_: the pass, made with its options.
        model: an eager model, which is put in evaluation mode, or a captured program.
        inputs: example inputs of a model.
        reason: must be part of the reason of a rejection, or of a note.
        dynamic_shapes: as `torch.export.export` takes it.
        target: what `context.target` shall be.
        context: what the pass may use besides the program.

    Raises:
        AssertionError: when the pass rewrote something, or gave other reasons.
    """
    program = _captured(model, inputs, dynamic_shapes)
    rewritten, outcome = _run(pass_, program, _context(context, target))
    changes = diff_programs(program, rewritten)
    if outcome.rewrites or changes:
        raise AssertionError(
            f"'{pass_.name}' made {outcome.rewrites} rewrites where it should decline:\n{changes}"
        )
    said = _reasons(outcome)
    if not any(reason in line for line in said):
        raise AssertionError(
            f"'{pass_.name}' declines without saying '{reason}'. It says:\n{_listed(said)}\n"
            f"{program.text()}"
        )
    return rewritten


def check_golden(text: str, path: Path) -> None:
    """Compare a text with a file; `pytest --update-golden` writes the file instead.

    Raises:
        AssertionError: when the file is missing or differs.
    """
    if pytest_plugin.updating():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return
    if not path.is_file():
        raise AssertionError(
            f"there is no golden file {path}; write it with: pytest --update-golden\n{text}"
        )
    expected = path.read_text(encoding="utf-8")
    if text != expected:
        lines = difflib.unified_diff(
            expected.splitlines(), text.splitlines(), str(path), "now", lineterm=""
        )
        changes = "\n".join(lines)
        raise AssertionError(
            f"the text differs from the golden file:\n{changes}\n"
            "if the new one is right: pytest --update-golden"
        )


def randomise_(model: M, seed: int = 0) -> M:
    """Replace every constant parameter and running statistic of a model, and return the model.

    Fresh normalisation layers multiply by one and add zero, so wrong algebra would look right.
    A quarter of the factors is negative.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.is_floating_point() and _is_constant(parameter):
                value = parameter.flatten()[0].item()
                _draw_(parameter, value, generator, signed="bias" not in name)
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                _draw_(buffer, 0.0, generator, signed=True)
            elif name.endswith("running_var"):
                _draw_(buffer, 1.0, generator, signed=False)
    return model


def _draw_(tensor: torch.Tensor, around: float, generator: torch.Generator, signed: bool) -> None:
    if around == 0:
        tensor.copy_(0.2 * torch.randn(tensor.shape, generator=generator))
        return
    factor = 0.5 + torch.rand(tensor.shape, generator=generator)
    if signed:
        factor *= torch.where(torch.rand(tensor.shape, generator=generator) < 0.25, -1.0, 1.0)
    tensor.copy_(around * factor)


def _is_constant(tensor: torch.Tensor) -> bool:
    return tensor.numel() > 0 and bool((tensor == tensor.flatten()[0]).all())


def _captured(model: nn.Module | Program, inputs: Any, dynamic_shapes: Any) -> Program:
    if isinstance(model, Program):
        return model
    return capture(model.eval(), inputs, dynamic_shapes)


def _context(context: Context | None, target: Target | None) -> Context:
    context = context or Context()
    return context if target is None else dataclasses.replace(context, target=target)


def _run(pass_: Pass, program: Program, context: Context) -> tuple[Program, Outcome]:
    try:
        result = run_passes(program, [pass_], context)
    except RewriteError as error:
        raise AssertionError(f"{error}\n{_unchecked(pass_, program, context)}") from error
    return result.program, result.reports[0].outcome


def _unchecked(pass_: Pass, program: Program, context: Context) -> str:
    """Return what a pass that failed its check does to the program, as far as it gets."""
    try:
        result = run_passes(program, [pass_], context, checked=False)
    except RewriteError:
        return program.text()
    return diff_programs(program, result.program)


def _check_count(pass_: Pass, program: Program, outcome: Outcome, rewrites: int | None) -> None:
    if outcome.rewrites == rewrites or (rewrites is None and outcome.rewrites > 0):
        return
    wanted = "at least one" if rewrites is None else rewrites
    raise AssertionError(
        f"'{pass_.name}' made {outcome.rewrites} rewrites, expected {wanted}. It says:\n"
        f"{_listed(_reasons(outcome))}\n{program.text()}"
    )


def _check_values(pass_: Pass, before: Program, after: Program) -> None:
    for inputs in check_inputs(after):
        wrong = wrong_values(after, *inputs)
        if wrong:
            raise AssertionError(
                f"after '{pass_.name}', meta['val'] is wrong:\n{_listed(wrong)}\n"
                f"{diff_programs(before, after)}"
            )


def _check_re_export(pass_: Pass, program: Program) -> None:
    try:
        again = re_export(program).module(check_guards=False)
    except Exception as error:
        raise AssertionError(
            f"torch.export does not take the program after '{pass_.name}': {error}\n"
            f"{program.text()}"
        ) from error
    for args, kwargs in check_inputs(program):
        expected = pytree.tree_leaves(program(*args, **kwargs))
        actual = pytree.tree_leaves(again(*args, **kwargs))
        pairs = [
            (e, a) for e, a in zip(expected, actual, strict=True) if isinstance(e, torch.Tensor)
        ]
        worst = equivalence.difference(pairs).relative
        if not worst <= REEXPORT_RELATIVE_ERROR:
            raise AssertionError(
                f"after '{pass_.name}', the re-exported program is off by {worst:.2e}\n"
                f"{program.text()}"
            )


def _check_second_run(pass_: Pass, program: Program, context: Context) -> None:
    result = run_passes(program, [pass_], context, checked=False)
    outcome = result.reports[0].outcome
    changes = diff_programs(program, result.program)
    if outcome.rewrites or changes:
        raise AssertionError(
            f"'{pass_.name}' is not done after one run; the second made {outcome.rewrites} "
            f"rewrites:\n{changes}"
        )


def _reasons(outcome: Outcome) -> list[str]:
    rejected = [f"{r.rule}: {r.node}: {r.reason} ({r.where})" for r in outcome.rejected]
    return [*rejected, *outcome.sentences]


def _listed(lines: list[str]) -> str:
    return "\n".join(f"  - {line}" for line in lines) or "  (nothing)"
