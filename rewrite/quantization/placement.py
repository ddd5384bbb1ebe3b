"""Where quantizers go: a target's rules applied to a program, before anything is edited."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import fx

from rewrite.passes import Rejection
from rewrite.program import Program
from rewrite.quantization.kinds import is_weight, kind, reads_table, split_of
from rewrite.quantization.markers import DEQUANTIZE, DEQUANTIZE_BLOCKS
from rewrite.quantization.obstacles import Obstacles, values_of
from rewrite.quantization.signs import lower_bound
from rewrite.schema import arguments
from rewrite.target import OpRule, Target

_REPORTED = ("conv", "conv-transpose", "linear", "matmul")
"""Kinds that carry the arithmetic: leaving one float is worth a reason."""

_CONVOLUTIONS = ("conv", "conv-transpose")


@dataclass(frozen=True)
class Edge:
    """One argument of one call that is to be quantized."""

    consumer: fx.Node
    source: fx.Node
    spec: str


@dataclass
class Plan:
    """Which tensors are stored quantized, and which edges are quantized on their own."""

    stored: dict[fx.Node, tuple[str, fx.Node]] = field(default_factory=dict)
    """(spec, whose scale it has) of tensors that every user reads quantized."""
    edges: list[Edge] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)


def plan_quantizers(
    program: Program, target: Target, why_float: Callable[[fx.Node], str] = lambda node: ""
) -> Plan:
    """Decide where a target wants quantizers.

    Args:
        program: canonical, its attention expanded if the target quantizes products.
        target: the rules.
        why_float: says why a call is to stay float, and nothing where it need not.
    """
    return _Planner(program, target, why_float).plan()


def find_kernels(
    program: Program, target: Target, why_float: Callable[[fx.Node], str] = lambda node: ""
) -> list[fx.Node]:
    """Return the calls that `plan_quantizers` would give quantized inputs of their own."""
    planner = _Planner(program, target, why_float)
    return [node for node in program.graph.nodes if planner.is_kernel(node)]


class _Planner:
    def __init__(
        self, program: Program, target: Target, why_float: Callable[[fx.Node], str]
    ) -> None:
        self.program = program
        self.target = target
        self.why_float = why_float
        self.result = Plan()
        self.obstacles = Obstacles(program, target, why_float)
        self.ends = self._first_and_last() if target.ends else ()
        self.leads_to_kernel = self._leads_to_kernel()

    def plan(self) -> Plan:
        self._quantize_inputs()
        for node in self.program.graph.nodes:
            rule = self.target.ops.get(kind(node))
            if rule is None:
                if kind(node) in _REPORTED or reads_table(node):
                    self._reject(node, self._why_no_rule(node))
                continue
            self._apply(node, rule)
        return self.result

    def _apply(self, node: fx.Node, rule: OpRule) -> None:
        if rule.mode == "always":
            self._always(node, rule)
        elif rule.mode == "join":
            self._join(node, rule)
        elif rule.mode == "skip":
            self._skip(node, rule)
        elif rule.mode == "table":
            self._table(node, rule)
        elif rule.mode == "follow" or self.leads_to_kernel[node]:
            self._share(node)

    def _quantize_inputs(self) -> None:
        if self.target.inputs is None:
            return
        for node in self.program.inputs():
            if _is_float32(node) and node.users:
                self.result.stored[node] = (self.target.inputs, node)

    def _always(self, node: fx.Node, rule: OpRule) -> None:
        if node in self.result.stored:
            return  # an activation that went into the operator before it
        reason = self.obstacles.of(node, rule)
        if reason:
            self._reject(node, reason)
            return
        bound = arguments(node)
        for position, (name, spec) in enumerate(rule.inputs.items()):
            for source in values_of(bound.get(name)):
                self._edge(node, source, spec, is_first=position == 0)
        self._result(node, rule)

    def _join(self, node: fx.Node, rule: OpRule) -> None:
        if not self.leads_to_kernel[node] or self.why_float(node) or not _is_float32(node):
            return
        sources = list(node.all_input_nodes)
        literal = any(isinstance(arguments(node).get(n), (int, float)) for n in rule.inputs)
        if literal or not sources or any(s not in self.result.stored for s in sources):
            return
        self._result(node, rule)

    def _result(self, node: fx.Node, rule: OpRule) -> None:
        """Quantize what a call gives, behind an activation that its kernel takes in."""
        absorbed = self._absorbed(node)
        fused = None if absorbed else self._fused(node)
        carrier = absorbed or fused or node
        must_lead = fused is not None or rule.float_output
        if not rule.output or (must_lead and not self.leads_to_kernel[carrier]):
            return
        self.result.stored.setdefault(carrier, (rule.output, carrier))

    def _skip(self, node: fx.Node, rule: OpRule) -> None:
        """Quantize what is added to a convolution's result, so that both become one kernel."""
        bound = arguments(node)
        sides = {name: s for name in rule.inputs for s in values_of(bound.get(name))}
        plain = all(not is_weight(s) and _is_float32(s) for s in sides.values())
        if self.why_float(node) or len(sides) < len(rule.inputs) or not plain:
            return
        branches = [n for n, s in sides.items() if self._is_convolution(s) and len(s.users) == 1]
        if not branches:
            return
        # Where both sides are convolutions, the first one goes on in float: `out += downsample(x)`.
        for name, source in sides.items():
            if name != branches[0]:
                self._edge(node, source, rule.inputs[name])

    def _table(self, node: fx.Node, rule: OpRule) -> None:
        """Quantize a table of constants, and what is looked up in it at the same scale."""
        name, spec = next(iter(rule.inputs.items()))
        table = arguments(node)[name]
        if not reads_table(node):
            return
        reason = self.why_float(node)
        if not reason and not _is_float32(table):
            reason = f"its {name} is {table.meta['val'].dtype}, not float32"
        if reason:
            self._reject(node, reason)
            return
        self._edge(node, table, spec)
        self.result.stored.setdefault(node, (spec, table))

    def _share(self, node: fx.Node) -> None:
        if not isinstance(node.meta.get("val"), torch.Tensor):
            return  # a split, of which the parts are tensors
        whole = split_of(node) or node
        source = whole.all_input_nodes[0] if whole.all_input_nodes else None
        if source in self.result.stored:
            self.result.stored.setdefault(node, self.result.stored[source])

    def _edge(self, node: fx.Node, source: fx.Node, spec: str, *, is_first: bool = True) -> None:
        if source.target in (DEQUANTIZE, DEQUANTIZE_BLOCKS):
            return
        # Kernels take unsigned types as their first operand only.
        if is_first and not is_weight(source):
            spec = self.target.producers.get(kind(source), spec)
        if node in self.ends:
            spec = self.target.ends.get(spec, spec)
        stored = self.result.stored.get(source)
        wanted = self.target.spec(spec)
        if stored is None or not self.target.spec(stored[0]).serves(wanted):
            self.result.edges.append(Edge(node, source, spec))

    def _why_no_rule(self, node: fx.Node) -> str:
        if isinstance(node.target, torch._ops.HigherOrderOperator):
            return "its layers are in a branch, where nothing is quantized"
        if kind(node):
            return f"target '{self.target.name}' has no rule for it"
        operator = getattr(node.target, "__name__", node.target)
        return f"target '{self.target.name}' has no rule for '{operator}'"

    def _absorbed(self, node: fx.Node) -> fx.Node | None:
        user = _only_user(node)
        absorbs = user is not None and kind(user) in self.target.absorbs and lower_bound(user) == 0
        return user if absorbs else None

    def _fused(self, node: fx.Node) -> fx.Node | None:
        user = _only_user(node)
        return user if user is not None and kind(user) in self.target.fuses else None

    def _reject(self, node: fx.Node, reason: str) -> None:
        self.result.rejected.append(Rejection.of("insert-quantizers", node, reason))

    def _leads_to_kernel(self) -> dict[fx.Node, bool]:
        """Tell for each node whether a quantized kernel reads it, through joins and layouts."""
        leads: dict[fx.Node, bool] = {}
        for node in reversed(self.program.graph.nodes):
            leads[node] = any(self.is_kernel(u) or self._passes_on(u, leads) for u in node.users)
        return leads

    def _first_and_last(self) -> tuple[fx.Node, ...]:
        layers = [n for n in self.program.graph.nodes if self._is_layer(n)]
        return (layers[0], layers[-1]) if layers else ()

    def _is_convolution(self, node: fx.Node) -> bool:
        return kind(node) in _CONVOLUTIONS and self._is_layer(node)

    def _is_layer(self, node: fx.Node) -> bool:
        """Tell whether a call is a layer with a weight that gets quantized."""
        rule = self.target.ops.get(kind(node))
        return rule is not None and "weight" in rule.inputs and self.is_kernel(node)

    def is_kernel(self, node: fx.Node) -> bool:
        """Tell whether a call has an int8 kernel and may use it."""
        rule = self.target.ops.get(kind(node))
        return rule is not None and rule.mode == "always" and not self.obstacles.of(node, rule)

    def _passes_on(self, node: fx.Node, leads: dict[fx.Node, bool]) -> bool:
        return self.target.carries(kind(node)) and leads.get(node, False)


def _is_float32(node: fx.Node) -> bool:
    val = node.meta.get("val")
    return isinstance(val, torch.Tensor) and val.dtype == torch.float32


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None
