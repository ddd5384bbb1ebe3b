"""Which layers a precision can be chosen for, and how many bytes each takes in the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import networkx as nx
import torch
from torch import fx

from rewrite.program import Program
from rewrite.provenance import module_path
from rewrite.quantization.found_precision import found_precision
from rewrite.quantization.kinds import is_weight
from rewrite.quantization.layer_patterns import Names
from rewrite.quantization.markers import DEQUANTIZE, DEQUANTIZE_BLOCKS, MARKERS
from rewrite.quantization.precision import Precision
from rewrite.schema import arguments

_MARKERS = (*MARKERS, DEQUANTIZE_BLOCKS)


@dataclass(frozen=True)
class Layer:
    """Calls that change their precision together, since they share a name or a weight."""

    names: tuple[str, ...]
    """What overrides name it by: module paths, or weights at the root of a model."""
    kernels: tuple[str, ...]
    """The calls whose weight is quantized, by name."""
    nodes: frozenset[str]
    """All calls that an override of these names reaches."""


def find_layers(plain: Program, quantized: Sequence[Program]) -> list[Layer]:
    """Return the layers whose weight one of these programs quantizes, in order of the program.

    Args:
        plain: the program before it was quantized.
        quantized: made from it, with its calls under their names.
    """
    found = {n.name for p in quantized for n in p.graph.nodes if _reads_integers(n, p)}
    calls = [n for n in plain.graph.nodes if n.op == "call_function"]
    order = {node.name: place for place, node in enumerate(calls)}
    named = Names(calls)
    graph: nx.Graph = nx.Graph()
    for node in calls:
        if node.name not in found:
            continue
        name = layer_name(node)
        graph.add_edge(("name", name), ("call", node.name))
        graph.add_edges_from((("name", name), ("weight", str(w.target))) for w in _weights(node))
        graph.add_edges_from((("name", name), ("call", n.name)) for n in named.matching(name))
    layers = []
    for part in nx.connected_components(graph):
        nodes = frozenset(name for kind, name in part if kind == "call")
        kernels = tuple(sorted(nodes & found, key=order.__getitem__))
        names = dict.fromkeys(layer_name(calls[order[kernel]]) for kernel in kernels)
        layers.append(Layer(tuple(names), kernels, nodes))
    return layers


def layer_name(node: fx.Node) -> str:
    """Return what an override names a call with a weight by."""
    return module_path(node) or next((str(w.target) for w in _weights(node)), node.name)


def layer_bytes(program: Program, layers: Sequence[Layer]) -> list[int]:
    """Return the bytes of the weights that each layer alone reads, scales and biases included.

    A weight that anything else reads too, such as an embedding, is there whatever becomes of the
    layer, and does not count. Calls that a target put in place of a layer's are found by its name.
    """
    sizes = [0] * len(layers)
    of_node = {node: index for index, layer in enumerate(layers) for node in layer.nodes}
    of_name = {name: index for index, layer in enumerate(layers) for name in layer.names}
    for size, readers in _stored(program).values():
        owners = {of_name.get(module_path(n), of_node.get(n.name)) for n in readers}
        owner = owners.pop() if len(owners) == 1 else None
        if owner is not None:
            sizes[owner] += size
    return sizes


def program_bytes(program: Program) -> int:
    """Return the bytes of all weights of a program, each counted once."""
    return sum(size for size, _ in _stored(program).values())


def layer_precisions(program: Program, layers: Sequence[Layer]) -> list[Precision]:
    """Return the precision of each layer's calls in a program; of several that of fewest bits."""
    nodes = {node.name: node for node in program.graph.nodes}
    return [
        _fewest([found_precision(nodes[n], program) for n in layer.kernels if n in nodes])
        for layer in layers
    ]


def _fewest(found: Sequence[Precision]) -> Precision:
    weights = [p.weight for p in found if p.weight is not None]
    activations = [p.activation for p in found if p.activation is not None]
    if not weights:
        return Precision()
    return Precision(min(weights), min(activations, default=None))


def _stored(program: Program) -> dict[str, tuple[int, set[fx.Node]]]:
    """Return the bytes and the readers of every weight that is read, by its name."""
    halves, left_out = set(_packed(program)), set(_zero_points_of_biases(program))
    found: dict[str, tuple[int, set[fx.Node]]] = {}
    for node in program.graph.nodes:
        if not is_weight(node):
            continue
        name = str(node.target)
        value = program.attribute(name)
        if not isinstance(value, torch.Tensor) or not node.users or name in left_out:
            continue
        size = value.numel() * value.element_size()
        _, readers = found.setdefault(name, (-(-size // 2) if name in halves else size, set()))
        readers.update(_readers(node))
    return found


def _packed(program: Program) -> Iterator[str]:
    """Yield the names of weights that the file stores two to a byte.

    Only blocks of 4 bits are: fewer bits of any other quantizer live in the 8-bit type, which is
    what int8 kernels read.
    """
    for node in program.graph.nodes:
        if node.target is DEQUANTIZE_BLOCKS and arguments(node)["bits"] == 4:
            yield from (str(arguments(node)[key].target) for key in ("x", "zero_point"))


def _zero_points_of_biases(program: Program) -> Iterator[str]:
    """Yield the names of int32 zero points: they are 0, and no file has them."""
    for node in program.graph.nodes:
        if node.target is DEQUANTIZE and arguments(node)["x"].meta["val"].dtype == torch.int32:
            yield str(arguments(node)["zero_point"].target)


def _readers(node: fx.Node) -> Iterator[fx.Node]:
    """Yield the calls that read a value, through quantizers too."""
    for user in node.users:
        if user.target in _MARKERS:
            yield from _readers(user)
        else:
            yield user


def _weights(node: fx.Node) -> list[fx.Node]:
    return [source for source in node.all_input_nodes if is_weight(source)]


def _reads_integers(node: fx.Node, program: Program) -> bool:
    """Tell whether a call reads a quantized weight."""
    if node.op != "call_function" or node.target in _MARKERS:
        return False
    sources = [s for s in node.all_input_nodes if s.target in (DEQUANTIZE, DEQUANTIZE_BLOCKS)]
    if not any(is_weight(arguments(source)["x"]) for source in sources):
        return False
    return found_precision(node, program).weight is not None
