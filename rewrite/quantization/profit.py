"""Which layers int8 makes slower, by a target's cost table."""

from __future__ import annotations

import math
from collections.abc import Collection

import networkx as nx
from networkx.algorithms.flow import boykov_kolmogorov
from torch import fx

from rewrite.program import Program
from rewrite.quantization.costs import elements
from rewrite.quantization.kinds import is_weight, kind
from rewrite.schema import argument
from rewrite.target import OpRule, Target

_MILLION = 1e6
_BENEFIT_OF_DOUBT = 0.8
"""Int8 is taken to be so much faster than the table says: near ties are quantized."""
_INT8, _FLOAT = "int8", "float"
_CONVOLUTIONS = ("conv", "conv-transpose")


def unprofitable(
    program: Program, target: Target, kernels: Collection[fx.Node], free: Collection[fx.Node]
) -> dict[fx.Node, str]:
    """Return the layers that are better left float, and why.

    A layer pays for itself, and for turning tensors into integers and back where its neighbours
    are of the other kind. The assignment that costs least in all is a minimum cut: one side is
    int8, the other float, and what is cut are the costs.

    Args:
        program: canonical.
        target: its rules and its table.
        kernels: the calls that the rules quantize.
        free: those of them that may stay float; the others are quantized.
    """
    if not target.costs:
        return {}
    graph = _Graph(program, target, kernels, free)
    quantized = _cut(graph.flow, graph.priced, target.costs.saving)
    left = [node for node in graph.priced if node not in quantized]
    return {node: graph.reason(node) for node in left}


def _cut(flow: nx.DiGraph, priced: Collection[fx.Node], saving: float) -> set[object]:
    """Return what a minimum cut leaves to int8, in the parts of the network that hold a price.

    Parts that share no edge are cut one by one, and not at all where that saves less than asked.
    """
    network, side = _contracted(flow)
    between = nx.Graph(network)
    between.remove_nodes_from((_INT8, _FLOAT))
    for part in nx.connected_components(between):
        if part.isdisjoint(priced):
            continue
        small = network.subgraph((*part, _INT8, _FLOAT)).copy()
        # A third of the time that networkx takes by default.
        cost, (quantized, _) = nx.minimum_cut(small, _INT8, _FLOAT, flow_func=boykov_kolmogorov)
        uncut = sum(capacity for *_, capacity in small.in_edges(_FLOAT, data="capacity"))
        side |= quantized if uncut - cost >= saving else part
    return side


def _contracted(flow: nx.DiGraph) -> tuple[nx.DiGraph, set[object]]:
    """Take what no finite cut parts from an end into that end, so that the network falls apart.

    Returns:
        The network, and what went into the end of int8.
    """
    whole = nx.DiGraph((u, v) for u, v, c in flow.edges(data="capacity") if math.isinf(c))
    whole.add_nodes_from((_INT8, _FLOAT))
    int8, float_ = nx.descendants(whole, _INT8), nx.ancestors(whole, _FLOAT)
    ends = {**dict.fromkeys(int8, _INT8), **dict.fromkeys(float_, _FLOAT)}
    network = nx.DiGraph()
    network.add_nodes_from((_INT8, _FLOAT))
    for start, stop, capacity in flow.edges(data="capacity"):
        _add(network, ends.get(start, start), ends.get(stop, stop), capacity)
    return network, int8


def _add(network: nx.DiGraph, start: object, stop: object, capacity: float) -> None:
    if start in (stop, _FLOAT) or stop is _INT8:
        return  # never cut
    before = network.get_edge_data(start, stop, {"capacity": 0.0})["capacity"]
    network.add_edge(start, stop, capacity=before + capacity)


class _Graph:
    """The flow network: an edge u → v is paid for when u is int8 and v is float."""

    def __init__(
        self,
        program: Program,
        target: Target,
        kernels: Collection[fx.Node],
        free: Collection[fx.Node],
    ) -> None:
        self.target, self.costs = target, target.costs
        self.kernels, free = set(kernels), set(free)
        self.flow: nx.DiGraph = nx.DiGraph()
        self.flow.add_nodes_from((_INT8, _FLOAT))
        self.priced: list[fx.Node] = []
        self.behind: dict[fx.Node, fx.Node | None] = {}
        """Which kernel, maybe at a distance, gave what a call gives: of a sum the nearest one."""
        for node in program.graph.nodes:
            self.behind[node] = self._behind(node)
            if node in self.kernels:
                self._kernel(node, node in free)
            elif self._is_carrier(node):
                self._carrier(node)
        self.last = self._last(program)
        self._keep_outputs_exact()
        for node in program.graph.nodes:
            if node.op in ("call_function", "placeholder") and not is_weight(node):
                self._conversions(node)
            if kind(node) in _CONVOLUTIONS and node in self.kernels:
                self._relayout(node)

    def reason(self, node: fx.Node) -> str:
        """Say what a layer costs either way."""
        in_float, in_int8 = self.costs.of(node) or (0.0, 0.0)
        if self.costs.exact_output and node in self.last and in_int8 < in_float:
            share = f"{100 * self.costs.exact_output:g} %"
            return f"int8 would round an output, and save less than {share} of all kernels' time"
        return (
            f"int8 would not make it faster: about {_time(in_int8)} and the conversions around it, "
            f"against {_time(in_float)} in float"
        )

    def _carrier(self, node: fx.Node) -> None:
        """A call that hands on integers does so where all that it reads are integers."""
        for source in _sources(node):
            _add(self.flow, node, self._domain(source), math.inf)
        cost = self.costs.of(node)
        if cost is None:
            return
        in_float, in_int8 = cost
        self.priced.append(node)
        _add(self.flow, _INT8, node, in_float)
        _add(self.flow, node, _FLOAT, in_int8)

    def _kernel(self, node: fx.Node, free: bool) -> None:
        cost = self.costs.of(node)
        if not free or cost is None:
            _add(self.flow, _INT8, node, math.inf)
            return
        in_float, in_int8 = cost
        self.priced.append(node)
        _add(self.flow, _INT8, node, in_float)
        _add(self.flow, node, _FLOAT, in_int8 * _BENEFIT_OF_DOUBT)

    def _last(self, program: Program) -> set[fx.Node]:
        """Return the kernels that round what leaves the program: no other one depends on it."""
        goes_on: dict[fx.Node, bool] = {}
        for node in reversed(program.graph.nodes):
            goes_on[node] = any(user in self.kernels or goes_on[user] for user in node.users)
        return {n for n in self.kernels if not goes_on[n] and self._rule(n).output}

    def _keep_outputs_exact(self) -> None:
        """Let it cost a share of everything that int8 rounds an output."""
        if not self.costs.exact_output:
            return
        known = [self.costs.of(node) for node in self.kernels]
        share = self.costs.exact_output * sum(cost[1] for cost in known if cost is not None)
        for node in self.last.intersection(self.priced):
            _add(self.flow, node, _FLOAT, share)

    def _conversions(self, node: fx.Node) -> None:
        """A value is turned into integers once for all that read them, and back once."""
        count, domain = elements(node), self._domain(node)
        users = [u for u in node.users if u.op == "output" or u.op == "call_function"]
        if count is None:
            return
        readers = [u for u in users if u in self.kernels]
        if readers:
            mark = ("quantize", node)
            for user in readers:
                _add(self.flow, user, mark, math.inf)
            _add(self.flow, mark, domain, self.costs.quantize * count / _MILLION)
        if domain is not _FLOAT:
            mark = ("dequantize", node)
            _add(self.flow, domain, mark, self.costs.dequantize * count / _MILLION)
            for user in users:
                reads = user in self.kernels or self._is_carrier(user)
                _add(self.flow, mark, user if reads else _FLOAT, math.inf)

    def _behind(self, node: fx.Node) -> fx.Node | None:
        if node in self.kernels:
            return node
        sources = _sources(node)
        near = next((s for s in sources if s in self.kernels), None)
        return near or (self.behind[sources[0]] if sources else None)

    def _relayout(self, node: fx.Node) -> None:
        """Pay where a convolution and the one that it follows, maybe at a distance, are unlike."""
        count = elements(argument(node, "input"))
        before = self.behind.get(argument(node, "input"))
        if before is None or kind(before) not in _CONVOLUTIONS or count is None:
            return
        cost = self.costs.relayout * count / _MILLION
        _add(self.flow, before, node, cost)
        _add(self.flow, node, before, cost)

    def _domain(self, node: fx.Node) -> object:
        """Return what decides whether a value is stored as integers: a call, or never."""
        if node in self.kernels:
            return node if self._rule(node).output else _FLOAT
        return node if self._is_carrier(node) else _FLOAT

    def _is_carrier(self, node: fx.Node) -> bool:
        """Tell whether a call hands on integers: a join, a layout, an activation that vanishes."""
        if node in self.kernels or node.op != "call_function" or not _sources(node):
            return False
        return self.target.carries(kind(node))

    def _rule(self, node: fx.Node) -> OpRule:
        return self.target.ops[kind(node)]


def _sources(node: fx.Node) -> list[fx.Node]:
    return [s for s in node.all_input_nodes if not is_weight(s) and elements(s) is not None]


def _time(microseconds: float) -> str:
    return f"{microseconds:.0f} µs" if microseconds >= 10 else f"{microseconds:.1f} µs"
