"""A program as the ONNX exporter takes it: its weights lifted to inputs, without another trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx
from torch.export.exported_program import ModuleCallEntry
from torch.export.graph_signature import (
    ConstantArgument,
    ExportGraphSignature,
    InputKind,
    InputSpec,
    OutputKind,
    OutputSpec,
    TensorArgument,
)

from rewrite.program import Program
from rewrite.re_export import re_export

Table = dict[Any, Callable[..., Any]]


class Decomposable(torch.export.ExportedProgram):
    """An exported program that knows more decompositions than it is told."""

    own: Table
    """What an operator is made of, in place of what the exporter thinks."""
    used: Table | None = None
    """All that it was decomposed with."""

    def run_decompositions(
        self, decomp_table: Table | None = None, **options: Any
    ) -> torch.export.ExportedProgram:
        """Decompose with its own decompositions too."""
        self.used = {**(decomp_table or {}), **self.own}
        decomposed: torch.export.ExportedProgram = super().run_decompositions(self.used, **options)
        return decomposed


class Lifted(Decomposable):
    """An exported program that decomposes itself only if an operator has no translation."""

    program: Program

    def run_decompositions(
        self, decomp_table: Table | None = None, **options: Any
    ) -> torch.export.ExportedProgram:
        """Return the program itself when every operator can be translated as it is.

        A captured program is functional already, so that the trace through which torch.export
        decomposes would change nothing else; it takes longer than all the rest of the export.
        """
        self.used = {**(decomp_table or {}), **self.own}
        if not any(n.target in self.used for n in self.graph.nodes if n.op == "call_function"):
            return self
        return traced(self.program, self.own).run_decompositions(decomp_table, **options)


def traced(program: Program, own: Table) -> Decomposable:
    """Return a program as torch.export traces it once more."""
    exported: Any = re_export(program, flat=True)
    exported.__class__ = Decomposable
    exported.own = own
    decomposable: Decomposable = exported
    return decomposable


def lift(program: Program, own: Table) -> Decomposable:
    """Return a program whose outputs are tensors as a flat exported program.

    Programs with subgraphs are exported again: what these do is known to torch.export alone.
    """
    if any(_is_subgraph(program, node) for node in program.graph.nodes):
        return traced(program, own)
    twin = program.clone()
    weights = _lift_weights(twin)
    specs = [
        InputSpec(InputKind.BUFFER, TensorArgument(node.name), target, persistent=True)
        for target, node in weights.items()
    ]
    lifted = set(weights.values())
    specs += [_user_input(node) for node in twin.inputs() if node not in lifted]
    outputs = twin.outputs()
    twin.graph.output_node().args = (tuple(outputs),)
    exported = Lifted(
        root=twin.module,
        graph=twin.graph,
        graph_signature=ExportGraphSignature(
            specs,
            [OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(n.name), None) for n in outputs],
        ),
        state_dict={target: program.weight(target) for target in weights},
        range_constraints={},
        module_call_graph=[ModuleCallEntry("", None)],
    )
    exported.program, exported.own = program, own
    return exported


def _lift_weights(twin: Program) -> dict[str, fx.Node]:
    """Let the graph read its weights from inputs; return these by the name of the weight."""
    graph = twin.graph
    first = next(iter(graph.nodes))
    reads = [node for node in graph.nodes if node.op == "get_attr"]
    inputs: dict[str, fx.Node] = {}
    for read in reads:
        name = str(read.target)
        if name not in inputs:
            with graph.inserting_before(first):
                inputs[name] = graph.placeholder(f"weight_{name.replace('.', '_')}")
            inputs[name].meta = dict(read.meta)
        read.replace_all_uses_with(inputs[name])
    for read in reads:
        graph.erase_node(read)
    return inputs


def _user_input(node: fx.Node) -> InputSpec:
    value = node.meta.get("val")
    if isinstance(value, torch.Tensor):
        return InputSpec(InputKind.USER_INPUT, TensorArgument(node.name), None)
    return InputSpec(InputKind.USER_INPUT, ConstantArgument(node.name, value), None)


def _is_subgraph(program: Program, node: fx.Node) -> bool:
    if node.op != "get_attr":
        return False
    return not isinstance(program.attribute(str(node.target)), torch.Tensor)
