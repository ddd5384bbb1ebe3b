"""Pass `insert-quantizers`."""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx

from rewrite import Context, Emitter, Outcome, Pass, Program, UsageError, option
from rewrite.quantization.kinds import is_weight
from rewrite.quantization.markers import OBSERVE
from rewrite.quantization.placement import Plan, plan_quantizers


@dataclass(frozen=True)
class InsertQuantizers(Pass):
    """Mark the tensors that the target wants quantized.

    The marks change no value: `calibrate` turns them into quantize/dequantize pairs.
    """

    name = "insert-quantizers"
    equivalence = "exact"
    after = ("fold-batch-norm", "remove-dead-code", "expand-attention")

    skip: tuple[str, ...] = option(
        (), help="Module paths, weight or node names that stay float; * matches anything."
    )

    def run(self, program: Program, context: Context) -> Outcome:
        """Insert one `observe` per quantized tensor."""
        if context.target is None:
            raise UsageError("insert-quantizers needs a target", hint="--target portable")
        if any(node.target is OBSERVE for node in program.graph.nodes):
            return Outcome(notes=["the program is marked already"])
        plan = plan_quantizers(program, context.target, self.skip)
        rewrites = _insert(program, plan)
        notes = [] if rewrites else [f"target '{context.target.name}' quantizes nothing here"]
        return Outcome(rewrites, plan.rejected, notes)


def _insert(program: Program, plan: Plan) -> int:
    emit = Emitter(program)
    readers: dict[tuple[fx.Node, str], list[fx.Node]] = {}
    for edge in plan.edges:
        readers.setdefault((edge.source, edge.spec), []).append(edge.consumer)
    for node, (spec, group) in plan.stored.items():
        mark = emit.call(OBSERVE, like=node, after=node, x=node, spec=spec, group=group)
        emit.redirect(node, mark)
        readers = {(mark if s is node else s, p): users for (s, p), users in readers.items()}
    for (source, spec), users in readers.items():
        group = source.target if is_weight(source) else f"{source.name}.{spec}"
        anchor = _first(program, users)
        mark = emit.call(OBSERVE, like=anchor, x=source, spec=spec, group=group)
        for user in users:
            emit.replace_use(user, source, mark)
    return len(plan.stored) + len(readers)


def _first(program: Program, users: list[fx.Node]) -> fx.Node:
    """Return the first of the users in graph order: the mark goes right before it."""
    if len(users) == 1:
        return users[0]
    wanted = set(users)
    return next(node for node in program.graph.nodes if node in wanted)
