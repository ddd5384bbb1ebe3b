"""What a model writes into its buffers and inputs: dropped where no result depends on it."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx
from torch.fx.node import map_arg

from rewrite.canonical.values import is_weight
from rewrite.errors import CaptureError
from rewrite.program import Program
from rewrite.provenance import source_line
from rewrite.schema import arguments, is_call

aten = torch.ops.aten
_OF_THE_TYPE_OF = (aten.type_as.default, aten.to.other)
"""What reads another tensor for its type alone."""


def drop_writes(module: fx.GraphModule) -> set[str]:
    """Erase the write-backs that torch.export puts at the end of a functional graph.

    Counters and running statistics are written and never read: a compiled program has none. What
    is written to an input is read inside the call alone: a program gets its inputs as copies.

    Returns:
        The names of the buffers that were written; not of those that hold the same afterwards, as
        with `self.table = self.table.to(x.device)`.
    """
    written, erased = set(), False
    for node in list(module.graph.nodes):
        if not is_call(node, aten.copy_.default):
            continue
        bound = arguments(node)
        target = bound["self"]
        if is_weight(target):
            if not _changes_nothing(module, target, bound["src"]):
                written.add(str(target.target))
        elif target.op != "placeholder":
            continue
        node.replace_all_uses_with(bound["src"])
        module.graph.erase_node(node)
        erased = True
    if erased:
        module.graph.eliminate_dead_code()
    return written


def _changes_nothing(module: fx.GraphModule, target: fx.Node, source: fx.Node) -> bool:
    """Tell whether a buffer holds already what is written to it, whatever the inputs are."""
    needed, pending = set[fx.Node](), [source]
    while pending:
        node = pending.pop()
        drawn = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
        if node.op not in ("get_attr", "call_function") or drawn:
            return False
        needed.add(node)
        pending += [each for each in _read(node) if each not in needed]
    values: dict[fx.Node, Any] = {}
    for node in module.graph.nodes:
        if node in needed:
            values[node] = _value(module, node, values)
    held = operator.attrgetter(str(target.target))(module)
    return held.shape == values[source].shape and torch.equal(held, values[source].to(held.dtype))


def _read(node: fx.Node) -> list[fx.Node]:
    """Return what the value of a node is computed from: of another type's tensor nothing is."""
    return [arguments(node)["self"]] if is_call(node, *_OF_THE_TYPE_OF) else node.all_input_nodes


def _value(module: fx.GraphModule, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
    if node.op == "get_attr":
        return operator.attrgetter(str(node.target))(module)
    if is_call(node, *_OF_THE_TYPE_OF):
        return values[arguments(node)["self"]].to(node.meta["val"].dtype)
    args, kwargs = map_arg((node.args, node.kwargs), values.__getitem__)
    assert callable(node.target)
    return node.target(*args, **kwargs)


def check_stateless(program: Program, written: set[str]) -> None:
    """Make sure that no result depends on what an earlier call wrote.

    Args:
        program: in canonical form.
        written: what `drop_writes` returned.

    Raises:
        CaptureError: for a buffer that is read as well, naming the line that reads it.
    """
    for node in program.graph.nodes:
        if node.op == "get_attr" and node.target in written and node.users:
            raise CaptureError(
                f"the model keeps state from call to call in buffer '{node.target}'",
                where=source_line(next(iter(node.users))) or None,
                hint="take the state as an argument and return the new one",
            )
