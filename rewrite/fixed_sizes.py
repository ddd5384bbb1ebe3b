"""Sizes fixed before capture: in the example inputs, the dynamic shapes and calibration batches."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from rewrite.descriptors import Model
from rewrite.dynamic_shapes import Dimension, dimensions, inputs_by_name, is_derived, key, walk
from rewrite.errors import UsageError, unknown
from rewrite.inputs import split_inputs
from rewrite.program import Program
from rewrite.quantization.batches import as_given
from rewrite.request import Request
from rewrite.target import Target

_RULE = "static-shapes"
_UNNAMED = re.compile(r"s\d+")
"""What a program calls a dimension that the model file gives no name."""


class OtherSize(UsageError):
    """Inputs have another size than the one that was fixed."""


@dataclass(frozen=True)
class FixedSizes:
    """The sizes that a program has in place of dynamic ones."""

    model: nn.Module
    shapes: Any
    """Dynamic shapes as the model file gives them."""
    sizes: Mapping[str, int]
    """By the name of a dimension; by INPUT.AXIS where it has none."""

    def described(self, given: Model) -> Model:
        """Return a model with example inputs of these sizes, and without the dimensions."""
        if not self.sizes:
            return given
        args, kwargs = split_inputs(given.inputs())
        resized = as_given(*next(iter(self.pieces(args, kwargs, "inputs()", repeat=True))))
        return replace(given, inputs=lambda: resized, dynamic_shapes=self._remaining(args, kwargs))

    def calibrated(self, given: Model) -> Model:
        """Return a model whose calibration data come in batches of these sizes."""
        if not self.sizes or given.calibration is None:
            return given
        return replace(given, calibration=self._batches(given.calibration))

    def _batches(self, given: Callable[[], Iterable[Any]]) -> Callable[[], Iterator[Any]]:

        def batches() -> Iterator[Any]:
            for number, batch in enumerate(given(), start=1):
                args, kwargs = split_inputs(batch)
                for piece in self.pieces(args, kwargs, f"calibration batch {number}"):
                    yield as_given(*piece)

        return batches

    def runner(self, run: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that takes any number of rows and runs them piece by piece."""
        if not self.sizes:
            return run

        def call(*args: Any, **kwargs: Any) -> Any:
            found = self._found(args, kwargs)
            row = _row(found)
            pieces = self.pieces(args, kwargs, "evaluate()", cut=False)
            results = [run(*piece, **named) for piece, named in pieces]
            if row is None:
                return results[0]
            columns = zip(*(pytree.tree_leaves(each) for each in results), strict=True)
            joined = [_joined(c, found[row].size, self.sizes[row]) for c in columns]
            return pytree.tree_unflatten(joined, pytree.tree_structure(results[0]))

        return call

    def pieces(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        what: str,
        *,
        repeat: bool = False,
        cut: bool = True,
    ) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
        """Yield inputs with these sizes.

        Rows are taken piece by piece, the last piece reaching back to be whole; rows that are too
        few are repeated. Along other dimensions what is too long is cut.

        Args:
            args: positional inputs of any size.
            kwargs: keyword inputs.
            what: they are, for errors.
            repeat: whether what is too short is repeated along every dimension.
            cut: whether what is too long may be cut.

        Raises:
            OtherSize: when a size does not fit, naming the dimension.
        """
        found = self._found(args, kwargs)
        row = _row(found)
        for name, each in found.items():
            wanted = self.sizes[name]
            short, long = each.size < wanted, each.size > wanted
            if name != row and ((short and not repeat) or (long and not cut)):
                raise OtherSize(
                    f"{what} gives {each.size} along '{name}', which is fixed to {wanted}",
                    hint=f"give {wanted}, or fix another size: --fix {name}={each.size}",
                )
        if not found:
            yield args, kwargs
            return
        if row is None or repeat:
            yield self._piece(args, kwargs, row, 0)
            return
        rows, step = found[row].size, self.sizes[row]
        for start in range(0, rows, step):
            yield self._piece(args, kwargs, row, max(min(start, rows - step), 0))

    def _piece(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], row: str | None, first: int
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        changed: dict[int, Tensor] = {}
        done: set[tuple[int, int]] = set()

        def resize(value: Tensor, axis: int, dim: Any, path: str) -> Any:
            name = key(dim, path, axis)
            if name in self.sizes and (id(value), axis) not in done:
                size = int(dim.fn(self.sizes[name])) if is_derived(dim) else self.sizes[name]
                index = torch.arange(size) + (first if name == row else 0)
                before = changed.get(id(value), value)
                changed[id(value)] = before.index_select(axis, index % value.shape[axis])
                done.add((id(value), axis))
            return dim

        walk(inputs_by_name(self.model, args, kwargs, self.shapes), self.shapes, resize)
        new_args, new_kwargs = pytree.tree_map(lambda v: changed.get(id(v), v), (args, kwargs))
        return new_args, new_kwargs

    def _remaining(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the dynamic shapes without those that are fixed, None where none is left."""

        def keep(value: Tensor, axis: int, dim: Any, path: str) -> Any:
            return None if key(dim, path, axis) in self.sizes else dim

        shapes = walk(inputs_by_name(self.model, args, kwargs, self.shapes), self.shapes, keep)
        left = [d for d in pytree.tree_leaves(shapes) if d is not None]
        return shapes if left else None

    def _found(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Dimension]:
        try:
            named = inputs_by_name(self.model, args, kwargs, self.shapes)
        except TypeError:
            return {}  # other inputs than the model's: whoever takes the batch says so
        found = dimensions(named, self.shapes)
        return {name: each for name, each in found.items() if name in self.sizes}


def fix_sizes(
    description: Model, model: nn.Module, given: Mapping[str, int], *, static: bool
) -> FixedSizes:
    """Choose the size of every dynamic dimension that is to be fixed.

    Args:
        description: of the model.
        model: names the inputs.
        given: sizes by the name of a dimension, or by INPUT.AXIS.
        static: fixes the other ones to the example's.

    Raises:
        UsageError: for a name that the model has not, or a size out of its limits.
    """
    if not given and not static:
        return FixedSizes(model, None, {})
    args, kwargs = split_inputs(description.inputs())
    shapes = description.dynamic_shapes
    found = dimensions(inputs_by_name(model, args, kwargs, shapes), shapes)
    for name, size in given.items():
        if name not in found:
            if not found:
                raise UsageError(f"the model has no dynamic size '{name}': all sizes are fixed")
            raise unknown("dynamic size", name, found)
        _check_limits(name, size, found[name].dim)
    sizes = {name: each.size for name, each in found.items()} if static else {}
    sizes.update(given)
    return FixedSizes(model, shapes, sizes)


def _row(found: Mapping[str, Dimension]) -> str | None:
    """Return the dimension that counts rows: the first of every tensor that has it."""
    return next((name for name, each in found.items() if each.axes == {0}), None)


def _check_limits(name: str, size: int, dim: Any) -> None:
    low, high = getattr(dim, "min", None), getattr(dim, "max", None)
    least = max(int(low or 0), 1)
    most = int(high) if high is not None and bool(high < 2**31) else None
    if size < least or (most is not None and size > most):
        limits = f"{least} or more" if most is None else f"{least} to {most}"
        raise UsageError(f"'{name}' cannot be fixed to {size}: the model takes {limits}")


def _joined(column: tuple[Any, ...], rows: int, step: int) -> Any:
    """Return the rows of all pieces of a result; the last piece reaches back over earlier ones."""
    *whole, last = column
    if not isinstance(last, Tensor) or last.dim() == 0 or last.shape[0] != step:
        return last
    rest = rows - step * len(whole)
    return torch.cat([*whole, last[step - rest :] if whole else last[:rest]])


def check_static(program: Program, target: Target, request: Request) -> None:
    """Refuse a dynamic program early where the target's files have fixed sizes.

    Raises:
        UsageError: with the options that fix them.
    """
    dynamic = program.signature.dynamic
    if _RULE not in target.rules or not dynamic or request.checks != "strict":
        return
    if request.output is None or request.output.suffix != ".onnx":
        return
    pairs = [(f"{n}.{axis}", dim) for n, dims in dynamic.items() for axis, dim in dims.items()]
    roots = [(place, dim.root or dim) for place, dim in pairs]
    labels = [place if _UNNAMED.fullmatch(dim.name) else dim.name for place, dim in roots]
    names = list(dict.fromkeys(labels))
    some = ",".join(f"{name}=SIZE" for name in names)
    raise UsageError(
        f"target '{target.name}' takes fixed sizes; the model has dynamic ones: {', '.join(names)}",
        hint=f"--static fixes them to those of inputs(), --fix {some} to others",
    )
