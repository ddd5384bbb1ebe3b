"""Declarative patterns over ATen argument names.

What a pattern does not mention is a wildcard; the same name twice must bind the same value;
`add` and `mul` match in either order. A match is a tree, its root the node that is replaced.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import torch
from torch import fx

from rewrite.literals import (
    describe_value,
    equal_constants,
    literal,
    operator_name,
    overloads,
)
from rewrite.schema import argument_names, arguments

aten = torch.ops.aten
_COMMUTATIVE = frozenset({aten.add.Tensor, aten.mul.Tensor})
_SCALED = frozenset({aten.add.Tensor, aten.sub.Tensor})
_MOST_NAMED = 4

Binding = dict[str, Any]


class Pattern:
    """Something a value in the graph may look like."""

    def match(self, value: Any, binding: Binding) -> Iterator[Binding]:
        """Yield every extension of `binding` under which `value` fits."""
        raise NotImplementedError

    def describe(self) -> str:
        """Say in a few words what is expected."""
        raise NotImplementedError


@dataclass(frozen=True)
class Var(Pattern):
    """Any node or constant, bound to a name."""

    name: str

    def match(self, value: Any, binding: Binding) -> Iterator[Binding]:
        """Bind the name, or compare with what it is bound to."""
        if self.name not in binding:
            yield {**binding, self.name: value}
        elif binding[self.name] is value or equal_constants(binding[self.name], value):
            yield binding

    def describe(self) -> str:
        """Name the variable."""
        return self.name


@dataclass(frozen=True)
class Weight(Pattern):
    """A weight of the program, bound to a name."""

    name: str

    def match(self, value: Any, binding: Binding) -> Iterator[Binding]:
        """Accept `get_attr` nodes only."""
        if isinstance(value, fx.Node) and value.op == "get_attr":
            yield from Var(self.name).match(value, binding)

    def describe(self) -> str:
        """Say that it must be a weight."""
        return "a weight"


@dataclass(frozen=True)
class Const(Pattern):
    """A literal; floats compare with a relative tolerance of 1e-6, lists element by element.

    A weight that holds one element counts as its value, since exporters lift scalars.
    """

    value: Any

    def match(self, value: Any, binding: Binding) -> Iterator[Binding]:
        """Accept an equal literal, or a weight of one element that equals it."""
        if equal_constants(literal(value), self.value):
            yield binding

    def describe(self) -> str:
        """Show the literal."""
        return str(self.value)


@dataclass(frozen=True)
class Maybe(Pattern):
    """The given pattern, or None."""

    inner: Pattern

    def match(self, value: Any, binding: Binding) -> Iterator[Binding]:
        """Bind None to the inner pattern's names when the value is None."""
        if value is not None:
            yield from self.inner.match(value, binding)
            return
        names = list(_names(self.inner))
        if all(binding.get(name) is None for name in names):
            yield {**binding, **dict.fromkeys(names)}

    def describe(self) -> str:
        """Add that it may be missing."""
        return f"{self.inner.describe()} or none"


@dataclass(frozen=True, init=False)
class OneOf(Pattern):
    """The first of several patterns that fits."""

    options: tuple[Pattern, ...]

    def __init__(self, *options: Pattern) -> None:
        object.__setattr__(self, "options", options)

    def match(self, value: Any, binding: Binding) -> Iterator[Binding]:
        """Try the options in order."""
        for pattern in self.options:
            yield from pattern.match(value, binding)

    def describe(self) -> str:
        """Join the options."""
        return " or ".join(p.describe() for p in self.options)


@dataclass(frozen=True, init=False)
class Op(Pattern):
    """A call of one of several operators, its arguments given by ATen name.

    Args:
        targets: overloads or overload packets, one or a tuple.
        name: binds the node itself.
        arguments: patterns or literals by argument name.
    """

    targets: tuple[Any, ...]
    name: str | None = None
    arguments: dict[str, Pattern] = field(default_factory=dict)

    def __init__(self, targets: Any, name: str | None = None, /, **arguments: Any) -> None:
        flat = targets if isinstance(targets, tuple) else (targets,)
        object.__setattr__(self, "targets", tuple(overloads(flat)))
        object.__setattr__(self, "name", name)
        patterns = {k: v if isinstance(v, Pattern) else Const(v) for k, v in arguments.items()}
        object.__setattr__(self, "arguments", patterns)
        self._require_arguments()

    def _require_arguments(self) -> None:
        """Raise TypeError for an argument that none of the operators has: it could never match."""
        known: dict[str, None] = {}
        for target in self.targets:
            if isinstance(target, torch._ops.OpOverload):
                known.update(dict.fromkeys(argument_names(target)))
            elif target is operator.getitem:
                known.update(dict.fromkeys(("self", "index")))
            else:
                return
        for name in self.arguments:
            if name not in known:
                raise TypeError(f"{self.describe()} has no argument '{name}', but {list(known)}")

    def match(self, value: Any, binding: Binding) -> Iterator[Binding]:
        """Match the call, then its arguments in the order the pattern names them."""
        if not _calls(value, self.targets):
            return
        bound = arguments(value)
        if value.target in _SCALED and "alpha" not in self.arguments and bound["alpha"] != 1:
            return
        if self.name:
            named = list(Var(self.name).match(value, binding))
            if not named:
                return
            binding = named[0]
        yield from self._match_arguments(bound, binding)
        if self._commutes(value, bound):
            yield from self._match_arguments(_swapped(bound), binding)

    def _match_arguments(self, bound: dict[str, Any], binding: Binding) -> Iterator[Binding]:
        def step(rest: list[tuple[str, Pattern]], current: Binding) -> Iterator[Binding]:
            if not rest:
                yield current
                return
            (name, pattern), *others = rest
            if name not in bound:
                return
            for extended in pattern.match(bound[name], current):
                yield from step(others, extended)

        yield from step(list(self.arguments.items()), binding)

    def describe(self) -> str:
        """Name the operators, of many only the first."""
        names = list(dict.fromkeys(operator_name(t) for t in self.targets))
        if len(names) > _MOST_NAMED:
            names[_MOST_NAMED - 1 :] = [f"{len(names) - _MOST_NAMED + 1} others"]
        return " or ".join(names)

    def why_not(self, node: fx.Node) -> str:
        """Say which argument of a call with the right operator does not fit."""
        bound = arguments(node)
        alpha = bound.get("alpha", 1)
        if "alpha" not in self.arguments and alpha != 1:
            return f"its alpha is {alpha}, not 1"
        misses = self._misses(bound)
        if self._commutes(node, bound):
            misses = min(misses, self._misses(_swapped(bound)), key=len)
        return misses[0] if misses else "its arguments do not fit together"

    def _misses(self, bound: dict[str, Any]) -> list[str]:
        misses: list[str] = []
        for name, pattern in self.arguments.items():
            value = bound.get(name)
            if next(pattern.match(value, {}), None) is not None:
                continue
            if isinstance(pattern, Op) and _calls(value, pattern.targets):
                misses.append(pattern.why_not(value))
            else:
                misses.append(f"its {name} is {describe_value(value)}, not {pattern.describe()}")
        return misses

    def _commutes(self, node: fx.Node, bound: dict[str, Any]) -> bool:
        # alpha scales `other` only, so the two sides may change places when it is one.
        named = {"self", "other"} & set(self.arguments)
        return bool(named) and node.target in _COMMUTATIVE and bound.get("alpha", 1) == 1


@dataclass(frozen=True)
class Match:
    """One place where a pattern fits."""

    root: fx.Node
    binding: Binding

    def __getitem__(self, name: str) -> Any:
        return self.binding[name]

    def argument(self, name: str, argument_name: str) -> Any:
        """Return an argument of a bound node by its ATen name."""
        return arguments(self.binding[name])[argument_name]


def find(pattern: Op, node: fx.Node) -> Match | None:
    """Return the first match of a pattern rooted at `node`."""
    return next(find_all(pattern, node), None)


def find_all(pattern: Op, node: fx.Node) -> Iterator[Match]:
    """Yield every match of a pattern rooted at `node`."""
    for binding in pattern.match(node, {}):
        yield Match(node, binding)


def only_user(node: fx.Node) -> bool:
    """Tell whether exactly one node reads `node`."""
    return len(node.users) == 1


def _swapped(bound: dict[str, Any]) -> dict[str, Any]:
    return {**bound, "self": bound["other"], "other": bound["self"]}


def _calls(value: Any, targets: tuple[Any, ...]) -> TypeGuard[fx.Node]:
    return isinstance(value, fx.Node) and value.op == "call_function" and value.target in targets


def _names(pattern: Pattern) -> Iterator[str]:
    """Yield every name a pattern may bind."""
    name = getattr(pattern, "name", None)
    if name is not None:
        yield name
    inner: list[Pattern] = []
    if isinstance(pattern, Maybe):
        inner = [pattern.inner]
    elif isinstance(pattern, OneOf):
        inner = list(pattern.options)
    elif isinstance(pattern, Op):
        inner = list(pattern.arguments.values())
    for each in inner:
        yield from _names(each)
