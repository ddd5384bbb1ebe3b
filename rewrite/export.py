"""What torch.export makes of a model, and what it says when it cannot."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import traceback
import warnings
from typing import Any

import torch
from torch import nn
from torch.fx.experimental.symbolic_shapes import DimConstraints
from torch.jit._trace import TopLevelTracedModule

from rewrite.captured_calls import CapturedCalls
from rewrite.dynamic_shapes import as_torch_takes_them, keywords_spelled_out
from rewrite.errors import CaptureError, first_line
from rewrite.guards import assumptions, environment, with_lines
from rewrite.moved_layers import settled_layers
from rewrite.plain_layers import plain_layers, without_autocast, without_mask_detection
from rewrite.provenance import user_frame
from rewrite.symbolic_roots import symbolic_roots
from rewrite.traces import whole_traces


class SizesError(CaptureError):
    """A model does not take all the sizes that are asked for, as far as torch.export can prove."""


def export(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    dynamic_shapes: Any,
    *,
    deferred: bool = False,
) -> torch.export.ExportedProgram:
    """Export a model without its guards.

    It leaves fake tensors in the attributes that the model sets when it is called.

    Args:
        model: in the state that is captured.
        args: positional example inputs.
        kwargs: keyword example inputs.
        dynamic_shapes: as torch.export takes it.
        deferred: whether what it must assume about sizes may be left to be proved.

    Raises:
        SizesError: when sizes outside of what it assumes are asked for.
        CaptureError: for any other failure, naming the user's line.
    """
    for noisy in ("torch._export", "torch.fx.experimental.symbolic_shapes"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    try:
        shapes = as_torch_takes_them(model, args, kwargs, dynamic_shapes)
        # torch.export prints half a graph to stderr before it raises.
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stderr(io.StringIO()),
            torch.no_grad(),
            plain_layers(),
            settled_layers(),
            without_autocast(),
            without_mask_detection(),
            whole_traces(),
            with_lines(),
            symbolic_roots(),
            keywords_spelled_out(model, kwargs),
            CapturedCalls(model),
        ):
            warnings.simplefilter("ignore")
            return torch.export.export(
                model,
                args,
                kwargs,
                dynamic_shapes=shapes,
                strict=False,
                prefer_deferred_runtime_asserts_over_guards=deferred,
            )
    except Exception as error:
        raise _scripted(model) or explain(error) from error


def _scripted(model: nn.Module) -> CaptureError | None:
    """Return the error of a model that TorchScript holds, or a part of it."""
    name = "" if isinstance(model, torch.jit.ScriptModule) else _scripted_part(model)
    if name is None:
        return None
    what = f"module '{name}'" if name else "the model"
    return CaptureError(
        f"{what} is compiled by TorchScript, which torch.export does not take",
        where=getattr(model, "original_name", type(model).__name__),
        hint="return the model as it was before torch.jit.script or torch.jit.trace",
    )


def _scripted_part(module: nn.Module, path: str = "") -> str | None:
    """Return the path of the first scripted module inside; a traced one is taken as it is."""
    for name, child in module.named_children():
        if isinstance(child, TopLevelTracedModule):
            continue
        if isinstance(child, torch.jit.ScriptModule):
            return f"{path}{name}"
        found = _scripted_part(child, f"{path}{name}.")
        if found is not None:
            return found
    return None


_OF_SIZES = ("dynamic_shapes", "Constraints violated", "specialized", "Cannot create Dim")
"""In messages of torch.export about sizes; the last where it fails to say what would hold."""


_HINT = "change dynamic_shapes, or give larger example sizes: one that comes to 1 is taken as fixed"


def explain(error: Exception) -> CaptureError:
    """Turn an error of torch.export into one that names the user's line."""
    text = str(error)
    kind = type(error).__name__
    if "data-dependent" in text or "DataDependent" in kind:
        return CaptureError(
            "the model branches on the values of a tensor, which no graph can hold",
            where=user_frame(error),
            hint="use torch.where for values, or torch.cond for whole branches",
        )
    told = any(words in text for words in _OF_SIZES)
    if told or _is_unsolved(error):
        what = _constraint(text) if told else f"no solution is found: {' '.join(text.split())}"
        return SizesError(
            f"the dynamic shapes do not hold for this model: {what}",
            where=_line_of_sizes(error) or (user_frame(error) if told else None),
            hint=_suggestion(text) or _HINT,
        )
    return CaptureError(
        f"torch.export cannot capture the model: {kind}: {first_line(error)}",
        where=user_frame(error),
        hint="run with -v for the whole message of torch.export",
    )


def _is_unsolved(error: Exception) -> bool:
    """Tell whether it failed while it solved for the sizes that its assumptions allow."""
    solver = DimConstraints.solve.__code__
    return any(frame.f_code is solver for frame, _ in traceback.walk_tb(error.__traceback__))


def _line_of_sizes(error: Exception) -> str | None:
    """Return the user's line that makes the first assumption which narrows a size."""
    env = environment(error)
    lines = [each.line for each in assumptions(env)] if env is not None else []
    return next(filter(None, lines), None)


def _suggestion(text: str) -> str:
    """Return what torch.export proposes for dynamic_shapes, '' for nothing."""
    found = re.search(r"^Suggested fixes:\n((?:  \S.*\n)+)", text, re.MULTILINE)
    fixes = [line.strip() for line in found.group(1).splitlines()] if found else []
    if not any("Dim(" in fix for fix in fixes):
        return ""  # a size alone: no dynamic one
    return f"torch.export proposes {'; '.join(fixes)}"


def _constraint(text: str) -> str:
    lines = [line.strip(" -") for line in text.splitlines() if line.strip().startswith("-")]
    return lines[0] if lines else text.splitlines()[0]
