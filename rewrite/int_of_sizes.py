"""The builtin `int` in the files of a model: of a size that is a symbol it makes a symbol."""

from __future__ import annotations

import contextlib
import re
import types
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import nn

from rewrite.attributes import namespaces
from rewrite.errors import CaptureError
from rewrite.export import SizesError

Captured = TypeVar("Captured")
_MISSING = object()


class _Kind(type):
    """Answers for `int`, whichever way it is asked."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and isinstance(args[0], (torch.SymInt, torch.SymFloat)):
            return torch.sym_int(args[0])  # type: ignore[no-untyped-call]
        return int(*args, **kwargs)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, int)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, int)

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is int

    def __hash__(cls) -> int:
        return hash(int)

    def __getattr__(cls, name: str) -> Any:
        return getattr(int, name)


class _Int(metaclass=_Kind):
    """Stands in for `int`."""


def takes_an_int(line: str | None) -> bool:
    """Tell whether a line of a model calls `int`."""
    return line is not None and re.search(r"(?<![\w.])int\(", line) is not None


def with_int_of_sizes(
    model: nn.Module, capture: Callable[[], Captured], put_back: Callable[[], None]
) -> Captured:
    """Capture a model, once more if its int() fixes a size.

    Args:
        model: whose files have the stand-in the second time.
        capture: the model.
        put_back: the attributes that it had before.

    Raises:
        SizesError: naming the line that needs the number.
    """
    try:
        return capture()
    except SizesError as error:
        if not takes_an_int(error.where):
            raise
        first = error
    put_back()
    try:
        with int_keeps_sizes(model):
            return capture()
    except SizesError:
        raise  # it names the line that needs the number
    except CaptureError:
        first.hint = "int() makes a number of a size; math.trunc() or // follows it: n * 7 // 10"
        raise first from None


@contextlib.contextmanager
def int_keeps_sizes(model: nn.Module) -> Iterator[None]:
    """Let int(n) and int(n * 0.5) follow a size n that torch.export has as a symbol.

    The builtin has to return a number: `n` is fixed by it. Its stand-in is seen by the files that
    define a model's modules, and by no other.
    """
    files = [each for each in namespaces(model) if isinstance(each, types.ModuleType)]
    before = [(file, vars(file).get("int", _MISSING)) for file in files]
    for file in files:
        vars(file)["int"] = _Int
    try:
        yield
    finally:
        for file, own in before:
            if own is _MISSING:
                del vars(file)["int"]
            else:
                vars(file)["int"] = own
