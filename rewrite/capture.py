"""From an eager model to a Program: torch.export, then one canonicalising step."""

from __future__ import annotations

import contextlib
import io
import logging
import operator
import os
import traceback
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode
from torch.jit._trace import TopLevelTracedModule
from torch.utils import _pytree as pytree

from rewrite.calling import calling_convention
from rewrite.canonical import canonicalise
from rewrite.eager_check import check_against_eager
from rewrite.errors import CaptureError
from rewrite.errors import first_line as first_line
from rewrite.functional import functional_module
from rewrite.plain_layers import plain_layers, without_mask_detection
from rewrite.program import Program
from rewrite.provenance import is_framework, is_library, short_path
from rewrite.state import check_stateless, drop_writes


def capture(model: nn.Module, inputs: Any, dynamic_shapes: Any = None) -> Program:
    """Capture a model in evaluation mode as a canonical Program.

    Args:
        model: the eager model.
        inputs: a tuple of positional or a mapping of keyword example arguments.
        dynamic_shapes: as `torch.export.export` takes it.

    Raises:
        CaptureError: when the model is in training mode, holds NaN or infinite weights, fails on
            its example inputs, branches on the data or keeps state (names the user's line), or when
            the program computes something else.
    """
    args, kwargs = split_inputs(inputs)
    _check_model(model)
    sample = _check_runs(model, args, kwargs)
    try:
        exported = _export(model, args, kwargs, dynamic_shapes)
    except CaptureError:
        _check_results(model, sample)
        raise
    module = _functional(exported)
    _share_tied_weights(module)
    written = drop_writes(module)
    try:
        names = calling_convention(model, module, exported, sample, dynamic_shapes)
        program = Program(module, names, (args, kwargs), _fake_mode(module))
        canonicalise(program, written)
    except GuardOnDataDependentSymNode as error:
        raise _explain(error) from error
    check_stateless(program, written)
    check_against_eager(model, program, sample)
    return program


def split_inputs(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return (args, kwargs) for what a model file's `inputs()` gives."""
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    if isinstance(inputs, (tuple, list)):
        return tuple(inputs), {}
    return (inputs,), {}


def _check_model(model: nn.Module) -> None:
    if model.training:
        raise CaptureError(
            "the model is in training mode",
            where=type(model).__name__,
            hint="return model.eval() from model()",
        )
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            # A buffer may hold infinities on purpose: an attention mask does.
            is_mask = name.endswith("mask") or not _is_parameter(model, name)
            if is_mask and not bool(torch.isnan(tensor).any()):
                continue
            count = int((~torch.isfinite(tensor)).sum())
            raise CaptureError(
                f"weight '{name}' holds {count} NaN or infinite values of {tensor.numel()}",
                where=type(model).__name__,
                hint="the checkpoint is damaged or training diverged; load a sound one",
            )


def _is_parameter(model: nn.Module, name: str) -> bool:
    return any(name == n for n, _ in model.named_parameters())


def _check_runs(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what the model makes of its example inputs."""
    try:
        with torch.no_grad(), plain_layers():
            return model(*args, **kwargs)
    except Exception as error:
        raise CaptureError(
            f"the model fails on its example inputs: {type(error).__name__}: {first_line(error)}",
            where=user_frame(error),
            hint="inputs() must return what the model's forward takes",
        ) from error


def _check_results(model: nn.Module, results: Any) -> None:
    """Refuse results that are neither tensors nor plain constants, nor containers of these."""
    for path, value in pytree.tree_flatten_with_path(results)[0]:
        if value is None or isinstance(value, (torch.Tensor, bool, int, float, str)):
            continue
        raise CaptureError(
            f"the model returns {type(value).__name__}{_named(path)}, which holds its tensors "
            "where no file can name them",
            where=type(model).__name__,
            hint="return tensors alone; for one of transformers: config.use_cache = False",
        )


def _named(path: tuple[Any, ...]) -> str:
    return f" at {pytree.keystr(path)}" if path else ""


def _export(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], dynamic_shapes: Any
) -> torch.export.ExportedProgram:
    logging.getLogger("torch._export").setLevel(logging.ERROR)
    try:
        # torch.export prints half a graph to stderr before it raises.
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stderr(io.StringIO()),
            torch.no_grad(),
            plain_layers(),
            without_mask_detection(),
        ):
            warnings.simplefilter("ignore")
            return torch.export.export(
                model, args, kwargs, dynamic_shapes=dynamic_shapes, strict=False
            )
    except Exception as error:
        raise _scripted(model) or _explain(error) from error


def _functional(exported: torch.export.ExportedProgram) -> fx.GraphModule:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return functional_module(exported)
    except Exception as error:
        raise _explain(error) from error


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


def _explain(error: Exception) -> CaptureError:
    """Turn an error of torch.export into one that names the user's line."""
    text = str(error)
    kind = type(error).__name__
    if "data-dependent" in text or "DataDependent" in kind:
        return CaptureError(
            "the model branches on the values of a tensor, which no graph can hold",
            where=user_frame(error),
            hint="use torch.where for values, or torch.cond for whole branches",
        )
    if "dynamic_shapes" in text or "Constraints violated" in text or "specialized" in text:
        return CaptureError(
            f"the dynamic shapes do not hold for this model: {_constraint(text)}",
            where=user_frame(error),
            hint="change dynamic_shapes, or give an example size other than 1 and the limits",
        )
    return CaptureError(
        f"torch.export cannot capture the model: {kind}: {first_line(error)}",
        where=user_frame(error),
        hint="run with -v for the whole message of torch.export",
    )


def _constraint(text: str) -> str:
    lines = [line.strip(" -") for line in text.splitlines() if line.strip().startswith("-")]
    return lines[0] if lines else text.splitlines()[0]


def user_frame(error: BaseException) -> str | None:
    """Return `file:line: code` of the innermost frame that is the user's own.

    Where there is none, as with a model of an installed package, of the innermost one that is not
    of torch or the standard library either.
    """
    compiler = f"{Path(__file__).parent}{os.sep}"
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    frames = [f for link in reversed(chain) for f in reversed(_frames(link))]
    frames = [f for f in frames if not f.filename.startswith(compiler)]
    for foreign in (is_library, is_framework):
        frame = next((f for f in frames if not foreign(f.filename)), None)
        if frame is not None:
            return f"{short_path(frame.filename)}:{frame.lineno}: {(frame.line or '').strip()}"
    return None


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    return list(traceback.extract_tb(error.__traceback__))


def _fake_mode(module: fx.GraphModule) -> FakeTensorMode:
    vals = (n.meta.get("val") for n in module.graph.nodes)
    return next(v.fake_mode for v in vals if isinstance(v, FakeTensor))


def _share_tied_weights(module: fx.GraphModule) -> None:
    """Let every use of one tensor read one name, so that a tie is visible."""
    first: dict[tuple[Any, ...], fx.Node] = {}
    for node in list(module.graph.nodes):
        if node.op != "get_attr":
            continue
        tensor = operator.attrgetter(str(node.target))(module)
        if not isinstance(tensor, torch.Tensor):
            continue
        layout = (tensor.shape, tensor.stride(), tensor.dtype)
        key = (tensor.data_ptr(), tensor.storage_offset(), *layout)
        if tensor.numel() == 0 or key not in first:
            first[key] = node
            continue
        node.replace_all_uses_with(first[key])
        module.graph.erase_node(node)
