"""The graph of an exported program, free of calls that write to what they are given."""

from __future__ import annotations

import importlib
import operator
from typing import Any
from unittest import mock

import torch
from torch import fx
from torch._dispatch.python import enable_python_dispatcher
from torch.fx.node import map_arg

from rewrite.regions import inline_regions
from rewrite.schema import argument, argument_names, arguments, is_call
from rewrite.weight_names import rename_weights

aten = torch.ops.aten
_UNFLATTEN = importlib.import_module("torch.export.unflatten")
"""Of the same name as a function of torch.export."""
_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
_TRANSFORMS = "torch._functorch.predispatch"
"""Where calls are that begin and end a vmap: what is between is written for one element."""
_CANONICAL_VIEWS = (
    aten.chunk.default,
    aten.contiguous.default,
    aten.flatten.using_ints,
    aten.mT.default,
    aten.numpy_T.default,
    aten.reshape.default,
    aten.to.device,
    aten.to.dtype,
    aten.to.dtype_layout,
    aten.to.other,
    aten.type_as.default,
    aten.unflatten.int,
)
"""Composite operators that the canonical form rewrites itself."""
_FRESH_COMPOSITES = (
    aten.adaptive_avg_pool1d,
    aten.adaptive_avg_pool2d,
    aten.adaptive_avg_pool3d,
    aten.avg_pool1d,
    aten.batch_norm,
    aten.conv1d,
    aten.conv2d,
    aten.conv3d,
    aten.conv_transpose1d,
    aten.conv_transpose2d,
    aten.conv_transpose3d,
    aten.group_norm,
    aten.instance_norm,
    aten.layer_norm,
    aten.linear,
    aten.matmul,
    aten.max_pool1d,
    aten.max_pool2d,
    aten.max_pool3d,
    aten.rms_norm,
)
"""Composite operators that never return their input; others do, and their schemas hide it."""


def functional_module(exported: torch.export.ExportedProgram) -> fx.GraphModule:
    """Return the graph of a program as it is if possible, else traced once more.

    torch.export makes a graph functional by tracing it twice, which takes longer than capturing
    it. Most inference graphs need little: a call that writes to a fresh value which nobody else
    reads is a call that returns a new one.
    """
    inline_regions(exported)
    rename_weights(exported)
    module = _module_of(exported)
    for node in list(module.graph.nodes):
        _write_elsewhere(node)
    if all(_stays(node, module) for node in module.graph.nodes):
        module.recompile()
        return module
    return _module_of(exported.run_decompositions({}))


def _module_of(exported: torch.export.ExportedProgram) -> fx.GraphModule:
    """Return the graph with its weights as attributes.

    For each weight torch looks through the names of all modules, by a regular expression that
    knows `name@1` for the second call of a module; here no module has such a name.
    """
    with mock.patch.object(_UNFLATTEN, "_is_call_name", operator.eq):
        module: fx.GraphModule = exported.module(check_guards=False)
    return module


def is_write(node: fx.Node) -> bool:
    """Tell whether a call writes to what it is given."""
    target = node.target
    return isinstance(target, torch._ops.OpOverload) and target._schema.is_mutable


def _write_elsewhere(node: fx.Node) -> None:
    """Turn f_(x) into f(x) where x is a fresh value and has no other reader."""
    if not is_write(node):
        return
    target = node.target
    assert isinstance(target, torch._ops.OpOverload)
    twin = _functional_twin(target)
    written = argument(node, argument_names(target)[0])
    if twin is None or not isinstance(written, fx.Node):
        return
    is_alone = _is_fresh(written) and len(written.users) == 1
    drops_nothing = target is aten.dropout_.default and not arguments(node)["train"]
    if (is_alone or drops_nothing) and _same_type(node, twin):
        node.target = twin


def _same_type(node: fx.Node, twin: torch._ops.OpOverload) -> bool:
    """Tell whether f(x) has the dtype of f_(x), which keeps that of x: x.gt_(0) is no bool."""

    def value(source: fx.Node) -> Any:
        return source.meta["val"]

    announced = node.meta["val"]
    with announced.fake_mode, torch.no_grad(), enable_python_dispatcher():
        made = twin(*map_arg(node.args, value), **map_arg(node.kwargs, value))
    return isinstance(made, torch.Tensor) and made.dtype == announced.dtype


def _functional_twin(target: torch._ops.OpOverload) -> torch._ops.OpOverload | None:
    """Return f for f_, with the same arguments but for the name of the first."""
    name = target._schema.name.removeprefix("aten::")
    if target.namespace != "aten" or not name.endswith("_"):
        return None
    packet = getattr(aten, name[:-1], None)
    twin = getattr(packet, target._overloadname, None)
    if not isinstance(twin, torch._ops.OpOverload) or twin._schema.is_mutable:
        return None
    before, after = target._schema.arguments, twin._schema.arguments
    same = [a.name for a in before[1:]] == [a.name for a in after[1:]]
    written = [i for i, a in enumerate(before) if a.alias_info and a.alias_info.is_write]
    return twin if same and written == [0] else None


def _is_fresh(node: fx.Node) -> bool:
    """Tell whether a call returns memory of its own."""
    target = node.target
    if node.op != "call_function" or not isinstance(target, torch._ops.OpOverload):
        return False
    if target.has_kernel_for_dispatch_key(_COMPOSITE):
        return is_call(node, *_FRESH_COMPOSITES)
    return all(returned.alias_info is None for returned in target._schema.returns)


def _stays(node: fx.Node, module: fx.GraphModule) -> bool:
    """Tell whether torch.export would leave a node as it is."""
    if node.op == "get_attr":
        return not isinstance(operator.attrgetter(str(node.target))(module), torch.nn.Module)
    if node.op != "call_function":
        return node.op != "call_module"
    target: Any = node.target
    if not isinstance(target, torch._ops.OpOverload):
        is_transform = target.__module__ == _TRANSFORMS
        return not (is_transform or isinstance(target, torch._ops.HigherOrderOperator))
    if target._schema.is_mutable:
        return False
    if is_call(node, *_CANONICAL_VIEWS):
        return True
    aliases = any(argument.alias_info is not None for argument in target._schema.arguments)
    return not (aliases and target.has_kernel_for_dispatch_key(_COMPOSITE))
