"""Pass `insert-quantizers`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import fx

from rewrite import Context, Emitter, Outcome, Pass, Program, Target, UsageError, option
from rewrite.quantization.coordinates import feeding_coordinates
from rewrite.quantization.joins import harmed_by_joins
from rewrite.quantization.kinds import is_weight
from rewrite.quantization.layer_patterns import tell_unmatched
from rewrite.quantization.markers import OBSERVE
from rewrite.quantization.placement import Plan, find_kernels, plan_quantizers
from rewrite.quantization.precision import Override, Precision, precision_of, set_bits
from rewrite.quantization.profit import unprofitable

_ASKED = "left float on request"
_MEASURED = "int8 was measured to be no faster"


@dataclass(frozen=True)
class InsertQuantizers(Pass):
    """Mark the tensors that the target wants quantized.

    The marks change no value: `calibrate` turns them into quantize/dequantize pairs.
    """

    name = "insert-quantizers"
    equivalence = "exact"
    after = ("fold-batch-norm", "remove-dead-code", "expand-attention")
    # Fewer bits live in the 8-bit type, so that a file gets no smaller by them.
    precisions = ("float", "w8a8")
    completed_by = ("calibrate",)

    bits: str | None = option(
        None, help="Bits of weights and activations (w4a8, w8a16, …); none for the target's own."
    )
    skip: tuple[str, ...] = option(
        (), help="Module paths, weight or node names that stay float; * matches anything."
    )
    override: tuple[str, ...] = option(
        (), help="PATTERN=BITS or PATTERN=float for some layers, by name or op:KIND; last one wins."
    )
    profit: bool = option(
        True, help="Leave float what the target's cost table says int8 does not make faster."
    )
    slower: tuple[str, ...] = option(
        (), help="Names as of skip that stay float unless skip or override fits: set by --measure."
    )

    def run(self, program: Program, context: Context) -> Outcome:
        """Insert one `observe` per quantized tensor."""
        if context.target is None:
            raise UsageError("insert-quantizers needs a target", hint="--target portable")
        if any(node.target is OBSERVE for node in program.graph.nodes):
            return Outcome(notes=["the program is marked already"])
        default = Precision.parse(self.bits) if self.bits else Precision()
        if default is None:
            raise UsageError("'float' quantizes nothing", hint="leave the pass out")
        given = [Override.parse(text) for text in self.override]
        own = [*(Override(pattern, None) for pattern in self.skip), *given]
        overrides = [*(Override(pattern, None) for pattern in self.slower), *own]
        named = {
            "skip": self.skip,
            "override": [each.pattern for each in given],
            "slower": self.slower,
        }
        unmatched = tell_unmatched(program, named)

        def wanted(node: fx.Node) -> Precision | None:
            return precision_of(node, default, overrides)

        asked = {
            n: _ASKED if precision_of(n, default, own) is None else _MEASURED
            for n in program.graph.nodes
            if wanted(n) is None
        }
        left = self._unprofitable(program, context.target, asked, overrides)
        left |= self._harmed(program, context, asked | left, overrides)
        plan = plan_quantizers(program, context.target, lambda n: asked.get(n) or left.get(n, ""))
        set_bits(plan, context.target, wanted, default)
        rewrites = _insert(program, plan)
        notes = [] if rewrites else [f"target '{context.target.name}' quantizes nothing here"]
        return Outcome(rewrites, plan.rejected, [*notes, *unmatched])

    def _harmed(
        self,
        program: Program,
        context: Context,
        left: Mapping[fx.Node, str],
        overrides: Sequence[Override],
    ) -> dict[fx.Node, str]:
        """Return what stays float as int8 would lose it; not where bits are asked for.

        Where a target quantizes every tensor, the input would be rounded all the same.
        """
        target = context.target
        if target is None or target.inputs is not None or self.bits:
            return {}
        kernels = find_kernels(program, target, lambda node: left.get(node, ""))
        free = [n for n in kernels if not any(each.fits(n) for each in overrides)]
        return {
            **harmed_by_joins(program, context, free),
            **feeding_coordinates(program, free),
        }

    def _unprofitable(
        self,
        program: Program,
        target: Target,
        asked: Mapping[fx.Node, str],
        overrides: Sequence[Override],
    ) -> dict[fx.Node, str]:
        """Return what stays float as int8 does not pay; not where bits are asked for."""
        if not self.profit or self.bits:
            return {}
        kernels = find_kernels(program, target, lambda node: asked.get(node, ""))
        free = [n for n in kernels if not any(each.fits(n) for each in overrides)]
        return unprofitable(program, target, kernels, free)


def _insert(program: Program, plan: Plan) -> int:
    emit = Emitter(program)
    group_of = _groups(plan)
    marks: dict[fx.Node, fx.Node] = {}
    for node, (spec, owner) in plan.stored.items():
        group = group_of.get(owner, owner.name)
        mark = emit.call(OBSERVE, like=node, after=node, x=node, spec=spec, group=group)
        emit.redirect(node, mark)
        marks[node] = mark
    readers: dict[tuple[fx.Node, str], list[fx.Node]] = {}
    for edge in plan.edges:
        source = marks.get(edge.source, edge.source)
        readers.setdefault((source, edge.spec), []).append(edge.consumer)
    places = {node: place for place, node in enumerate(program.graph.nodes)}
    for (source, spec), users in readers.items():
        group = group_of.get(source, f"{source.name}.{spec}")
        anchor = min(users, key=places.__getitem__)
        mark = emit.call(OBSERVE, like=anchor, x=source, spec=spec, group=group)
        for user in users:
            emit.replace_use(user, source, mark)
    return len(plan.stored) + len(readers)


def _groups(plan: Plan) -> dict[fx.Node, str]:
    """Name the group of each weight after it, apart from those named after calls."""
    owners = [owner for _, owner in plan.stored.values()]
    taken = {owner.name for owner in owners}
    taken |= {f"{edge.source.name}.{edge.spec}" for edge in plan.edges}
    weights = {node for node in (*owners, *(e.source for e in plan.edges)) if is_weight(node)}
    names = {node: str(node.target) for node in weights}
    return {node: f"@{name}" if name in taken else name for node, name in names.items()}
