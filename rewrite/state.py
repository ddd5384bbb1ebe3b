"""What a model writes into its buffers and inputs: dropped where no result depends on it."""

from __future__ import annotations

import operator
from collections.abc import Mapping
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
        The names of the buffers that are written and change by it; not of those that hold the same
        afterwards, as with `self.table = self.table.to(x.device)`.
    """
    writes: dict[fx.Node, fx.Node] = {}
    calls = [node for node in module.graph.nodes if is_call(node, aten.copy_.default)]
    written_back = [node for node in calls if _outlives_a_call(arguments(node)["self"])]
    for node in written_back:
        bound = arguments(node)
        if is_weight(bound["self"]):
            writes[bound["self"]] = bound["src"]
    changed = _changed(module, writes)
    for node in written_back:
        node.replace_all_uses_with(arguments(node)["src"])
        module.graph.erase_node(node)
    if written_back:
        module.graph.eliminate_dead_code()
    return changed


def _outlives_a_call(target: fx.Node) -> bool:
    return is_weight(target) or target.op == "placeholder"


def _changed(module: fx.GraphModule, writes: Mapping[fx.Node, fx.Node]) -> set[str]:
    """Return the buffers whose content another call would find changed.

    Args:
        module: before the writes are erased.
        writes: what is written to each buffer.
    """
    sources = {target: _computed_from(source) for target, source in writes.items()}
    changed = {
        str(target.target)
        for target, source in writes.items()
        if not _holds(module, target, source, sources[target])
    }
    while True:  # what is computed from a buffer that changes may change later
        more = {
            str(target.target)
            for target, read in sources.items()
            if any(node.op == "get_attr" and node.target in changed for node in read or ())
        }
        if more <= changed:
            return changed
        changed |= more


def _computed_from(source: fx.Node) -> set[fx.Node] | None:
    """Return all that a value is computed from; None where an input or a draw is among it."""
    needed, pending = set[fx.Node](), [source]
    while pending:
        node = pending.pop()
        drawn = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
        if node.op not in ("get_attr", "call_function") or drawn:
            return None
        needed.add(node)
        pending += [each for each in _read(node) if each not in needed]
    return needed


def _holds(
    module: fx.GraphModule, target: fx.Node, source: fx.Node, needed: set[fx.Node] | None
) -> bool:
    """Tell whether a buffer holds already what is written to it, whatever the inputs are."""
    if needed is None:
        return False
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
