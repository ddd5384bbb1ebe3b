"""Which node a runtime cannot load a file for, where the runtime does not say."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from rewrite.errors import CheckError
from rewrite.lowering.origin import origin_of_named, origins_of
from rewrite.runtimes import Runtime, RuntimeFailure

_LARGEST = 2**30
"""Bytes of a file that is written a dozen times to find out."""


def refusal(model: ir.Model, runtime: Runtime, failure: RuntimeFailure, threads: int) -> CheckError:
    """Return what a runtime says of a file, with the operator and the user's line.

    Args:
        model: as it was written.
        runtime: the one that failed to load or to run it.
        failure: what it said.
        threads: it was given so many.
    """
    what, hint = failure.what, failure.hint or None
    where = origin_of_named(model, what)
    if where:
        return CheckError(what, where=where, hint=hint)

    def refuses(part: Path) -> bool:
        try:
            runtime.load(part, threads)
        except RuntimeFailure as other:
            return other.what == what
        return False

    found = None
    with contextlib.suppress(OSError):  # a disk that has no room for parts of the file
        found = first_refused(model, refuses)
    if found is None:
        return CheckError(what, hint=hint)
    told = f"{what} (in front of {found.node} it would)"
    return CheckError(told, where=found.line or None, hint=hint)


@dataclass(frozen=True)
class Refused:
    """The first node with which a runtime does not load a file."""

    node: str
    """Its operator and name."""
    line: str
    """The user's line behind it; empty if there is none."""


def first_refused(model: ir.Model, refuses: Callable[[Path], bool]) -> Refused | None:
    """Return the node up to which a model is refused, and in front of which it is not.

    Halves the model: the nodes in front of some place are a file of their own, whose outputs are
    what they leave unread.

    Args:
        model: as it was written; not changed.
        refuses: says of a file whether the runtime refuses it as it refused the whole.

    Returns:
        None where the whole is not refused, or is too large to be tried in parts.
    """
    nodes = list(model.graph)
    with tempfile.TemporaryDirectory(prefix="rewrite-") as folder:
        path = Path(folder) / "part.onnx"
        below, above = 0, len(nodes)
        if _bytes(model) > _LARGEST or not _is_refused(model, nodes, path, refuses):
            return None
        while above - below > 1:
            middle = (below + above) // 2
            if _is_refused(model, nodes[:middle], path, refuses):
                above = middle
            else:
                below = middle
    last = nodes[above - 1]
    name = last.name or str(last.outputs[0].name)
    return Refused(f"{last.op_type} '{name}'", origins_of(model, [name])[name])


def _is_refused(
    model: ir.Model, nodes: list[ir.Node], path: Path, refuses: Callable[[Path], bool]
) -> bool:
    inside = set(nodes)
    outputs = [
        value
        for node in nodes
        for value in node.outputs
        if value.type is not None and (value.is_graph_output() or not _readers(value) & inside)
    ]
    if not outputs:
        return False
    part = ir.convenience.extract(model.graph, model.graph.inputs, outputs)
    ir.save(
        ir.Model(part, ir_version=model.ir_version, functions=[*model.functions.values()]), path
    )
    return refuses(path)


def _readers(value: ir.Value) -> set[ir.Node]:
    return {use.node for use in value.uses()}


def _bytes(model: ir.Model) -> int:
    weights = model.graph.initializers.values()
    return sum(w.const_value.nbytes for w in weights if w.const_value is not None)
