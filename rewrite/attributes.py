"""What a model has as attributes, so that it can be put back as it was before it was called."""

from __future__ import annotations

import operator
import sys
import types
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from rewrite.provenance import is_framework

_LEAVES = (torch.Tensor, type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType)


class Attributes:
    """The attributes of a model, of its modules and of the objects and containers that these hold.

    Values are kept, not copied: it is noticed that an attribute got another tensor, and not that a
    tensor was written. In the classes of the modules, and in the files that define these, tensors
    alone are looked for.
    """

    def __init__(self, model: nn.Module) -> None:
        self._dicts: list[tuple[str, dict[Any, Any], dict[Any, Any]]] = []
        self._lists: list[tuple[str, list[Any], list[Any]]] = []
        self._walk(model)
        self._spaces = [(space, dict(vars(space))) for space in namespaces(model)]

    def changed(self) -> list[str]:
        """Return the dotted names of the attributes that are something else now."""
        names = [_join(p, k) for p, now, then in self._dicts for k in _different(now, then)]
        names += [p for p, now, then in self._lists if not _same(now, then)]
        for space, then in self._spaces:
            name = getattr(space, "__qualname__", space.__name__)
            names += [_join(name, key) for key in _different_tensors(space, then)]
        return names

    def put_back(self) -> None:
        """Give every attribute the value that it had."""
        for _, now, then in self._dicts:
            if any(True for _ in _different(now, then)):
                now.clear()
                now.update(then)
        for _, items, kept in self._lists:
            items[:] = kept
        for space, then in self._spaces:
            for key in list(_different_tensors(space, then)):
                if key in then:
                    setattr(space, key, then[key])
                else:
                    delattr(space, key)

    def _walk(self, model: nn.Module) -> None:
        seen: dict[int, Any] = {}
        pending: list[tuple[str, Any]] = [("", model)]
        while pending:
            path, value = pending.pop()
            if id(value) in seen or isinstance(value, _LEAVES):
                continue
            seen[id(value)] = value
            pending += self._keep(path, value)

    def _keep(self, path: str, value: Any) -> Iterator[tuple[str, Any]]:
        """Note what a value holds; yield that with its path."""
        if isinstance(value, dict):
            kept = dict(value)
            self._dicts.append((path, value, kept))
            yield from ((_join(path, key), each) for key, each in kept.items())
        elif isinstance(value, list):
            self._lists.append((path, value, list(value)))
            yield from ((_join(path, i), each) for i, each in enumerate(value))
        elif isinstance(value, (tuple, set, frozenset)):
            yield from ((path, each) for each in value)
        elif isinstance(value, types.MethodType):
            yield path, value.__self__
        elif _holds(value):
            yield path, vars(value)


def namespaces(model: nn.Module) -> list[Any]:
    """Return the classes of a model's modules, and the modules of Python they are defined in."""
    classes = {cls for module in model.modules() for cls in type(module).__mro__}
    own = [cls for cls in classes if not is_framework(_file(cls))]
    files = [sys.modules.get(cls.__module__) for cls in own]
    return [*own, *{id(file): file for file in files if file is not None}.values()]


def _file(cls: type) -> str:
    """Return the file that defines a class; that of an interpreter's own is none."""
    return getattr(sys.modules.get(cls.__module__), "__file__", None) or "<no file>"


def _holds(value: Any) -> bool:
    """Tell whether a value is a module, or an object of a class that is not Python's or torch's."""
    if isinstance(value, torch.jit.ScriptModule) or not hasattr(value, "__dict__"):
        return False
    return isinstance(value, nn.Module) or not is_framework(_file(type(value)))


def _different_tensors(space: Any, then: dict[str, Any]) -> Iterator[str]:
    """Yield the names in a class or a file that stand for another tensor, or for one at last."""
    for key in _different(dict(vars(space)), then):
        if any(isinstance(each.get(key), torch.Tensor) for each in (vars(space), then)):
            yield key


def _different(now: dict[Any, Any], then: dict[Any, Any]) -> Iterator[Any]:
    missing = object()
    for key in {**now, **then}:
        if now.get(key, missing) is not then.get(key, missing):
            yield key


def _same(now: list[Any], then: list[Any]) -> bool:
    return len(now) == len(then) and all(map(operator.is_, now, then))


def _join(path: str, key: Any) -> str:
    hidden = key in ("_parameters", "_buffers", "_modules")
    return path if hidden else f"{path}.{key}" if path else str(key)
