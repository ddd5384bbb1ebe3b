"""What a model writes into its buffers and inputs: dropped where no result depends on it."""

from __future__ import annotations

import torch
from torch import fx

from rewrite.canonical.values import is_weight
from rewrite.errors import CaptureError
from rewrite.program import Program
from rewrite.provenance import source_line
from rewrite.schema import arguments, is_call

aten = torch.ops.aten


def drop_writes(module: fx.GraphModule) -> set[str]:
    """Erase the write-backs that torch.export puts at the end of a functional graph.

    Counters and running statistics are written and never read: a compiled program has none. What
    is written to an input is read inside the call alone: a program gets its inputs as copies.

    Returns:
        The names of the buffers that were written.
    """
    written, erased = set(), False
    for node in list(module.graph.nodes):
        if not is_call(node, aten.copy_.default):
            continue
        bound = arguments(node)
        target = bound["self"]
        if is_weight(target):
            written.add(str(target.target))
        elif target.op != "placeholder":
            continue
        node.replace_all_uses_with(bound["src"])
        module.graph.erase_node(node)
        erased = True
    if erased:
        module.graph.eliminate_dead_code()
    return written


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
