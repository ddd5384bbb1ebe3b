"""Where quantizers go: a target's rules applied to a program, before anything is edited."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from rewrite.passes import Rejection
from rewrite.program import Program
from rewrite.quantization.kinds import is_weight, kind
from rewrite.quantization.markers import DEQUANTIZE
from rewrite.schema import arguments
from rewrite.target import OpRule, Target

_REPORTED = ("conv", "conv-transpose", "linear", "matmul")
"""Kinds that carry the arithmetic: leaving one float is worth a reason."""


@dataclass(frozen=True)
class Edge:
    """One argument of one call that is to be quantized."""

    consumer: fx.Node
    source: fx.Node
    spec: str


@dataclass
class Plan:
    """Which tensors are stored quantized, and which edges are quantized on their own."""

    stored: dict[fx.Node, tuple[str, str]] = field(default_factory=dict)
    """(spec, group) of tensors that every user reads quantized."""
    edges: list[Edge] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)


def plan_quantizers(
    program: Program, target: Target, stays_float: Callable[[fx.Node], bool] = lambda node: False
) -> Plan:
    """Decide where a target wants quantizers.

    Args:
        program: canonical, its attention expanded if the target quantizes products.
        target: the rules.
        stays_float: tells for a call whether the user wants it float.
    """
    return _Planner(program, target, stays_float).plan()


class _Planner:
    def __init__(
        self, program: Program, target: Target, stays_float: Callable[[fx.Node], bool]
    ) -> None:
        self.program = program
        self.target = target
        self.stays_float = stays_float
        self.result = Plan()
        self.leads_to_kernel = self._leads_to_kernel()

    def plan(self) -> Plan:
        for node in self.program.graph.nodes:
            rule = self.target.ops.get(kind(node))
            if rule is None:
                if kind(node) in _REPORTED:
                    self._reject(node, f"target '{self.target.name}' has no rule for it")
                continue
            {"always": self._always, "join": self._join, "share": self._share}[rule.mode](
                node, rule
            )
        return self.result

    def _always(self, node: fx.Node, rule: OpRule) -> None:
        reason = self._obstacle(node, rule)
        if reason:
            self._reject(node, reason)
            return
        bound = arguments(node)
        for name, spec in rule.inputs.items():
            source = bound.get(name)
            if isinstance(source, fx.Node):
                self._edge(node, source, spec)
        if rule.output:
            carrier = self._carrier(node)
            self.result.stored.setdefault(carrier, (rule.output, carrier.name))

    def _join(self, node: fx.Node, rule: OpRule) -> None:
        if not self.leads_to_kernel[node] or self.stays_float(node) or not _is_float32(node):
            return
        sources = list(node.all_input_nodes)
        literal = any(isinstance(arguments(node).get(n), (int, float)) for n in rule.inputs)
        if literal or not sources or any(s not in self.result.stored for s in sources):
            return
        if rule.output:
            carrier = self._carrier(node)
            self.result.stored.setdefault(carrier, (rule.output, carrier.name))

    def _share(self, node: fx.Node, rule: OpRule) -> None:
        source = node.all_input_nodes[0] if node.all_input_nodes else None
        if source in self.result.stored and self.leads_to_kernel[node]:
            self.result.stored.setdefault(node, self.result.stored[source])

    def _edge(self, node: fx.Node, source: fx.Node, spec: str) -> None:
        if source.target is DEQUANTIZE:
            return
        if not is_weight(source):
            spec = self.target.producers.get(kind(source), spec)
        stored = self.result.stored.get(source)
        if stored is None or stored[0] != spec:
            self.result.edges.append(Edge(node, source, spec))

    def _carrier(self, node: fx.Node) -> fx.Node:
        """Return the node whose output is quantized: an absorbed activation, or the node."""
        if len(node.users) != 1:
            return node
        user = next(iter(node.users))
        if kind(user) in self.target.absorbs and _cuts_at_zero(user):
            return user
        return node

    def _obstacle(self, node: fx.Node, rule: OpRule) -> str:
        if self.stays_float(node):
            return "left float on request"
        bound = arguments(node)
        for name, spec in rule.inputs.items():
            value = bound.get(name)
            if value is None:
                continue
            if not isinstance(value, fx.Node):
                return f"its {name} is a literal"
            val = value.meta.get("val")
            if not isinstance(val, torch.Tensor) or val.dtype != torch.float32:
                return f"its {name} is {getattr(val, 'dtype', 'no tensor')}, not float32"
            if self.target.spec(spec).per_channel and not is_weight(value):
                return f"its {name} is computed at run time, so it has no fixed scale per channel"
            if kind(node) == "matmul" and val.dim() < 2:
                return f"its {name} is a vector"
            if kind(node) == "matmul" and name == "self" and is_weight(value):
                return "its first factor is a weight, which int8 kernels take second"
        return ""

    def _reject(self, node: fx.Node, reason: str) -> None:
        self.result.rejected.append(Rejection.of("insert-quantizers", node, reason))

    def _leads_to_kernel(self) -> dict[fx.Node, bool]:
        """Tell for each node whether a quantized kernel reads it, through joins and layouts."""
        leads: dict[fx.Node, bool] = {}
        for node in reversed(self.program.graph.nodes):
            leads[node] = any(self._is_kernel(u) or self._passes_on(u, leads) for u in node.users)
        return leads

    def _is_kernel(self, node: fx.Node) -> bool:
        rule = self.target.ops.get(kind(node))
        return rule is not None and rule.mode == "always" and not self._obstacle(node, rule)

    def _passes_on(self, node: fx.Node, leads: dict[fx.Node, bool]) -> bool:
        rule = self.target.ops.get(kind(node))
        through = kind(node) in self.target.absorbs or (rule is not None and rule.mode != "always")
        return through and leads.get(node, False)


def _is_float32(node: fx.Node) -> bool:
    val = node.meta.get("val")
    return isinstance(val, torch.Tensor) and val.dtype == torch.float32


def _cuts_at_zero(node: fx.Node) -> bool:
    """Tell whether an activation's lower bound is zero, so that a zero point of qmin absorbs it."""
    if kind(node) == "relu":
        return True
    bound: dict[str, Any] = arguments(node)
    low = bound.get("min", bound.get("min_val", 0))
    return isinstance(low, (int, float)) and low == 0
