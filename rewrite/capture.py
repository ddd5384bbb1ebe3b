"""From an eager model to a Program: torch.export, then one canonicalising step."""

from __future__ import annotations

import contextlib
import functools
import operator
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode
from torch.utils import _pytree as pytree

from rewrite.attributes import Attributes
from rewrite.calling import calling_convention
from rewrite.canonical import canonicalise
from rewrite.eager_check import check_against_eager, check_same_again, draws
from rewrite.errors import CaptureError, first_line
from rewrite.export import SizesError, explain, export
from rewrite.functional import functional_module, is_write
from rewrite.guards import drop_asserts
from rewrite.inputs import copied, run_and_watch, split_inputs
from rewrite.int_of_sizes import with_int_of_sizes
from rewrite.larger_example import enlarge
from rewrite.model_check import check_model, training_norms
from rewrite.narrowed import narrowed_sizes
from rewrite.plain_layers import without_autocast
from rewrite.program import Program
from rewrite.provenance import source_line, user_frame
from rewrite.shape_errors import check_shapes
from rewrite.size_check import check_sizes
from rewrite.state import check_stateless, drop_writes
from rewrite.talk import Talk


def capture(
    model: nn.Module, inputs: Any, dynamic_shapes: Any = None, talk: Talk | None = None
) -> Program:
    """Capture a model in evaluation mode as a canonical Program.

    Args:
        model: the eager model; what it keeps from its first call, it has afterwards.
        inputs: a tuple of positional or a mapping of keyword example arguments; never written.
        dynamic_shapes: as `torch.export.export` takes it.
        talk: warned of what is captured, but may not be meant.

    Raises:
        CaptureError: when the model is in training mode, holds NaN or infinite weights, fails on
            its example inputs, branches on the data or keeps state (names the user's line), or when
            the program computes something else.
    """
    args, kwargs = split_inputs(inputs)
    if hasattr(dynamic_shapes, "dynamic_shapes"):  # a ShapesCollection, which goes by identity
        dynamic_shapes = dynamic_shapes.dynamic_shapes(model, args, kwargs)
    args, kwargs = copied((args, kwargs))
    check_model(model)
    untouched = Attributes(model)
    with without_autocast() as halves:
        sample, unseen = _first_call(model, args, kwargs)
    _check_dense(model, sample)
    check_shapes(model, args, kwargs, dynamic_shapes)
    kept = untouched.changed()
    called = Attributes(model) if kept else untouched
    programs, errors = [], []
    for state in (untouched, called) if kept else (called,):
        state.put_back()
        again = functools.partial(_captured, model, args, kwargs, dynamic_shapes, sample, called)
        try:
            programs.append(with_int_of_sizes(model, again, state.put_back))
        except CaptureError as error:
            errors.append(error)
            continue
        if not draws(programs[-1]):
            break  # else it may draw the weights that it makes at its first call
    if not programs:
        raise _unseen(model, unseen) if unseen else errors[0]
    if kept:
        check_same_again(model, programs[-1], sample, kept)
    if halves:
        kinds = " and ".join(sorted({str(d).removeprefix("torch.") for d in halves}))
        (talk or Talk()).step(f"compute in float32 what autocast asks for in {kinds}")
    for warning in [*training_norms(model), *narrowed_sizes(programs[-1], model, dynamic_shapes)]:
        (talk or Talk()).warn(warning)
    return programs[-1]


def _captured(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    dynamic_shapes: Any,
    sample: Any,
    called: Attributes,
) -> Program:
    """Capture a model as it is now, and give it the attributes that it has once it was called."""
    try:
        exported = _exported(model, args, kwargs, dynamic_shapes)
    except SizesError:
        raise
    except CaptureError:
        _check_results(model, sample)
        raise
    finally:
        called.put_back()
    module = _functional(exported.program)
    drop_asserts(module)
    _share_tied_weights(module)
    written = drop_writes(module)
    try:
        names = calling_convention(model, module, exported.program, sample, dynamic_shapes)
        program = Program(module, names, (args, kwargs), _fake_mode(module))
        canonicalise(program, written)
    except GuardOnDataDependentSymNode as error:
        raise explain(error) from error
    check_stateless(program, written)
    try:
        check_against_eager(model, program, sample)
    except CaptureError as error:
        if exported.unproved is None or not exported.is_larger:
            raise
        raise exported.unproved from error  # a larger example may have taken another branch
    check_sizes(model, program, exported.unproved)
    return program


@dataclass(frozen=True)
class _Exported:
    """What torch.export made of a model."""

    program: torch.export.ExportedProgram
    unproved: SizesError | None = None
    """What it cannot prove of the sizes; None where it can."""
    is_larger: bool = False
    """It was given a larger example."""


def _exported(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], dynamic_shapes: Any
) -> _Exported:
    """Export a model, and tell what torch.export cannot prove of its sizes.

    Where it assumes too much it is asked to leave that to us, and then with a larger example: a
    size that comes to 1 inside of the model it takes as fixed.
    """
    state = Attributes(model)
    try:
        return _Exported(export(model, args, kwargs, dynamic_shapes))
    except SizesError as error:
        first = error
    state.put_back()
    try:
        return _Exported(export(model, args, kwargs, dynamic_shapes, deferred=True), first)
    except SizesError as error:
        error.where = error.where or first.where
        needed = error  # what is assumed even so
    except CaptureError:
        needed = first
    larger = enlarge(model, args, kwargs, dynamic_shapes)
    if larger is None:
        raise needed
    for deferred in (False, True):
        state.put_back()
        with contextlib.suppress(CaptureError):
            program = export(model, *larger, dynamic_shapes, deferred=deferred)
            return _Exported(program, needed, is_larger=True)
    raise needed


def _first_call(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, list[str]]:
    """Return what the model makes of its example inputs, and those it changes unseen."""
    try:
        return run_and_watch(model, args, kwargs)
    except Exception as error:
        raise CaptureError(
            f"the model fails on its example inputs: {type(error).__name__}: {first_line(error)}",
            where=user_frame(error),
            hint="inputs() must return what the model's forward takes",
        ) from error


def _unseen(model: nn.Module, inputs: list[str]) -> CaptureError:
    return CaptureError(
        f"the model changes its input {', '.join(map(repr, inputs))} in place, in a way that "
        "torch.export does not see",
        where=type(model).__name__,
        hint="write it out of place (x = x.unsqueeze(0), not x.unsqueeze_(0)), and not to x.data",
    )


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


def _check_dense(model: nn.Module, results: Any) -> None:
    for path, value in pytree.tree_flatten_with_path(results)[0]:
        if isinstance(value, torch.Tensor) and value.layout != torch.strided:
            raise CaptureError(
                f"the model returns a sparse tensor{_named(path)}, and ONNX has none",
                where=type(model).__name__,
                hint="return its to_dense()",
            )


def _named(path: tuple[Any, ...]) -> str:
    return f" at {pytree.keystr(path)}" if path else ""


def _functional(exported: torch.export.ExportedProgram) -> fx.GraphModule:
    given = exported.graph_signature.user_inputs
    before = _dynamic(n for n in exported.graph.nodes if n.name in given)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = functional_module(exported)
    except Exception as error:
        raise explain(error) from error
    fixed = before - _dynamic(n for n in module.graph.nodes if n.op == "placeholder")
    if not fixed:
        return module
    place, dim = min(fixed)
    write = next(filter(is_write, exported.graph.nodes), None)
    if write is None:
        raise CaptureError(
            "the dynamic shapes do not hold for this model: an operator that torch makes of others "
            f"fixes dimension {dim} of '{given[place]}'",
            hint=f"--static or --fix a size, or leave dimension {dim} out of dynamic_shapes",
        )
    raise CaptureError(
        "the dynamic shapes do not hold for this model: what it writes in place fixes dimension "
        f"{dim} of '{given[place]}'",
        where=source_line(write) or None,
        hint="write it out of place: torch.stack or torch.cat of the new values",
    )


def _dynamic(inputs: Iterable[fx.Node]) -> set[tuple[int, int]]:
    """Return the dynamic dimensions of inputs by their places."""
    return {
        (place, dim)
        for place, node in enumerate(inputs)
        for dim, size in enumerate(getattr(node.meta["val"], "shape", ()))
        if not isinstance(size, int) and not size.node.expr.is_number
    }


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
        if tensor.layout != torch.strided:
            raise CaptureError(
                f"the model computes with '{node.target}', a {_layout(tensor)} tensor, which no "
                "file can hold",
                where=source_line(next(iter(node.users), node)) or None,
                hint="make it dense before the model is returned: tensor.to_dense()",
            )
        layout = (tensor.shape, tensor.stride(), tensor.dtype)
        key = (tensor.data_ptr(), tensor.storage_offset(), *layout)
        if tensor.numel() == 0 or key not in first:
            first[key] = node
            continue
        node.replace_all_uses_with(first[key])
        module.graph.erase_node(node)


def _layout(tensor: torch.Tensor) -> str:
    return str(tensor.layout).removeprefix("torch.").replace("_", " ")
