"""Find, for nodes of a file, the nodes that an optimizer made of them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

import onnx_ir as ir

from rewrite.runtimes import qdq_graph as qdq

# What ONNX Runtime adds to a name when it merges nodes, and when it makes a name unique.
_PREFIX = re.compile(r"^fused ")
_SUFFIX = re.compile(r"(_token_\d+|/[A-Za-z]*Fusion[A-Za-z]*/?|_nchwc|_T|_transposed)$")
_HOPS = 3

Names = Callable[[ir.Node], Iterable[str]]


def match(source: Sequence[ir.Node], optimized: Sequence[ir.Node]) -> dict[ir.Node, ir.Node]:
    """Return the optimized node of each source node; one that was folded away is missing.

    Names come first. Without names, the tensors a node leads to and its weight tell; what is
    still open is paired in order.
    """
    found: dict[ir.Node, ir.Node] = {}
    open_kernels = [node for node in optimized if _family(node)]
    for names in (_own_name, _downstream, _upstream):
        open_source = [node for node in source if node not in found]
        found |= _pair_by(names, open_source, open_kernels)
        taken = set(found.values())
        open_kernels = [node for node in open_kernels if node not in taken]
    return found | _pair_in_order([n for n in source if n not in found], open_kernels)


def _family(node: ir.Node) -> str:
    if "Conv" in node.op_type:
        return "conv"
    return "gemm" if "MatMul" in node.op_type or "Gemm" in node.op_type else ""


def _pair_by(
    names: Names, source: Sequence[ir.Node], optimized: Sequence[ir.Node]
) -> dict[ir.Node, ir.Node]:
    owners: defaultdict[tuple[str, str], list[ir.Node]] = defaultdict(list)
    for node in source:
        for name in set(names(node)):
            owners[_family(node), name].append(node)
    claims: dict[ir.Node, ir.Node] = {}
    for kernel in optimized:
        hits = [owners[_family(kernel), name] for name in _spellings(names(kernel))]
        unique = next((nodes[0] for nodes in hits if len(nodes) == 1), None)
        if unique is not None:
            claims[kernel] = unique
    # Two kernels that claim one node (a shared weight, say) leave it to the next kind of evidence.
    counts = Counter(claims.values())
    return {node: kernel for kernel, node in claims.items() if counts[node] == 1}


def _pair_in_order(
    source: Sequence[ir.Node], optimized: Sequence[ir.Node]
) -> dict[ir.Node, ir.Node]:
    pairs: dict[ir.Node, ir.Node] = {}
    for family in ("conv", "gemm"):
        nodes = [n for n in source if _family(n) == family]
        kernels = [n for n in optimized if _family(n) == family]
        pairs |= dict(zip(nodes, kernels, strict=False))
    return pairs


def _spellings(names: Iterable[str]) -> list[str]:
    """Return the names, each followed by what is left as the optimizer's additions come off."""
    spellings: list[str] = []
    for name in names:
        previous = None
        name = _PREFIX.sub("", name)
        while name and name != previous:
            spellings.append(name)
            previous, name = name, _SUFFIX.sub("", name)
    return spellings


def _own_name(node: ir.Node) -> Iterable[str]:
    return [node.name] if node.name else []


def _upstream(node: ir.Node) -> Iterable[str]:
    if node.op_type in qdq.COMPUTE:
        return qdq.upstream_constants(node)
    # Fused kernels place the weight where they like, among scales and zero points.
    return [v.name for v in node.inputs if v is not None and v.name and qdq.is_constant(v)]


def _downstream(node: ir.Node) -> list[str]:
    """Return the output's name and those of what the runtime may merge into the node."""
    names: list[str] = []
    frontier = [node.outputs[0]]
    for _ in range(_HOPS):
        names += [value.name for value in frontier if value.name]
        readers = [n for value in frontier for n in qdq.readers(value) if _may_merge(n)]
        frontier = [n.outputs[0] for n in readers]
    return names


def _may_merge(node: ir.Node) -> bool:
    merged = ("Add", "Clip", "Relu", "QuantizeLinear")
    return node.op_type in merged or node.op_type in qdq.PASS_THROUGH
