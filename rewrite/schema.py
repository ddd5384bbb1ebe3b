"""Arguments of a call by their ATen names, defaults filled in."""

from __future__ import annotations

import functools
import operator
from typing import Any

import torch
from torch import fx

MISSING = object()


@functools.cache
def argument_names(overload: torch._ops.OpOverload) -> tuple[str, ...]:
    """Return the argument names of an overload in schema order."""
    return tuple(a.name for a in overload._schema.arguments)


@functools.cache
def _defaults(overload: torch._ops.OpOverload) -> tuple[tuple[str, Any], ...]:
    return tuple(
        (a.name, a.default_value if a.has_default_value() else MISSING)
        for a in overload._schema.arguments
    )


def is_call(node: Any, *targets: Any) -> bool:
    """Tell whether `node` calls one of `targets` (overloads, packets or plain functions)."""
    if not isinstance(node, fx.Node) or node.op != "call_function":
        return False
    target = node.target
    if target in targets:
        return True
    packet = getattr(target, "overloadpacket", None)
    return packet is not None and packet in targets


def arguments(node: fx.Node) -> dict[str, Any]:
    """Bind the arguments of a call to their schema names.

    Raises:
        TypeError: if the node does not call an ATen-like overload.
    """
    target = node.target
    if not isinstance(target, torch._ops.OpOverload):
        if target is operator.getitem:
            return {"self": node.args[0], "index": node.args[1]}
        raise TypeError(f"{node.name} calls {target}, which has no schema")
    bound: dict[str, Any] = {}
    for position, (name, default) in enumerate(_defaults(target)):
        if position < len(node.args):
            bound[name] = node.args[position]
        elif name in node.kwargs:
            bound[name] = node.kwargs[name]
        else:
            bound[name] = default
    return bound


def argument(node: fx.Node, name: str) -> Any:
    """Return one argument of a call by its schema name."""
    bound = arguments(node)
    if name not in bound:
        raise KeyError(f"{node.target} has no argument '{name}'; it has {', '.join(bound)}")
    return bound[name]


def call_arguments(
    overload: torch._ops.OpOverload, given: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Turn named arguments into (args, kwargs), leaving out trailing defaults.

    Raises:
        TypeError: for a name the overload does not have, or a required one that is missing.
    """
    schema = overload._schema.arguments
    extra = set(given) - {a.name for a in schema}
    if extra:
        raise TypeError(f"{overload} has no argument {sorted(extra)}")
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    pending: list[Any] = []
    for a in schema:
        if a.name not in given and not a.has_default_value():
            raise TypeError(f"{overload} needs argument '{a.name}'")
        value = given.get(a.name, a.default_value if a.has_default_value() else None)
        if a.kwarg_only:
            if not _same(value, a):
                kwargs[a.name] = value
            continue
        pending.append(value)
        if not _same(value, a):
            args.extend(pending)
            pending = []
    return tuple(args), kwargs


def _same(value: Any, schema_argument: Any) -> bool:
    if not schema_argument.has_default_value() or isinstance(value, fx.Node):
        return False
    default = schema_argument.default_value
    if isinstance(value, (list, tuple)) or isinstance(default, (list, tuple)):
        if not isinstance(value, (list, tuple)) or not isinstance(default, (list, tuple)):
            return False
        return not any(isinstance(v, fx.Node) for v in value) and list(value) == list(default)
    return type(value) is type(default) and bool(value == default)
