"""One batch of inputs, and what each quantized layer adds to the error of the outputs on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx
from torch.fx.node import map_arg

from rewrite.checks.judge import Judge
from rewrite.draws import Inputs
from rewrite.inputs import copied
from rewrite.interpret import NOT_HANDLED, Interpreter
from rewrite.layer_sizes import layer_name
from rewrite.losses import KERNELS, LayerLoss, OutputLoss
from rewrite.output_quantizers import OutputQuantizers
from rewrite.program import Program
from rewrite.provenance import source_line
from rewrite.quantization.found_precision import found_precision
from rewrite.quantization.kinds import is_weight, kind
from rewrite.quantization.markers import DEQUANTIZE, DEQUANTIZE_BLOCKS, OBSERVE, QUANTIZE
from rewrite.schema import arguments

QUANTIZERS = (OBSERVE, QUANTIZE, DEQUANTIZE, DEQUANTIZE_BLOCKS)
"""What stands between the layers of a quantized program."""


class InspectedBatch:
    """One batch, the exact value of every call, and what is measured on them."""

    def __init__(
        self,
        plain: Program,
        quantized: Program,
        inputs: Inputs,
        judge: Judge,
        layers: dict[str, LayerLoss],
        progress: Callable[[str, int, int | None], None],
    ) -> None:
        self.plain, self.quantized, self.layers = plain, quantized, layers
        args, kwargs = self.args, self.kwargs = copied(inputs)
        self.judge, self.progress = judge, progress
        self.exact: dict[str, Any] = {}
        self.local: dict[str, Any] = {}
        self.nodes = {n.name: n for n in plain.graph.nodes}
        self.places = {node: place for place, node in enumerate(plain.graph.nodes)}
        self.outputs = {n for n in plain.outputs() if isinstance(n, fx.Node)}
        self.float = Interpreter(plain, self._keep)
        self.last = OutputQuantizers(quantized)
        names = [node.name for node in plain.inputs()]
        self.flat = plain.signature.flatten_inputs(args, kwargs)
        self.given = dict(zip(names, self.flat, strict=True))

    def measure(self, total: OutputLoss) -> None:
        """Measure every layer alone, and all of them together."""
        outputs = self.float.run_inputs(self.args, self.kwargs)
        Interpreter(self.quantized, self._alone).run_inputs(self.args, self.kwargs)
        actual = Interpreter(self.quantized, self._together).run_inputs(self.args, self.kwargs)
        self._add(total, outputs, actual)
        for done, (name, value) in enumerate(self.local.items(), start=1):
            self._add(self.layers[name].output, outputs, self._carried(name, value))
            self.progress("inspect", done, len(self.local))

    def measure_together(self, total: OutputLoss) -> None:
        """Measure all layers together alone: it costs two runs."""
        exact = Interpreter(self.plain).run_inputs(self.args, self.kwargs)
        actual = Interpreter(self.quantized).run_inputs(self.args, self.kwargs)
        self._add(total, exact, actual)

    def _add(self, loss: OutputLoss, exact: list[Any], actual: list[Any]) -> None:
        names = self.plain.signature.output_names
        outputs = {
            name: (left, right)
            for name, left, right in zip(names, exact, actual, strict=True)
            if isinstance(left, torch.Tensor) and left.is_floating_point()
        }
        for name, left, right in self.judge.take_apart(outputs, self.flat).pairs:
            loss.add(name, left, right)

    def _keep(self, node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        target: Any = node.target
        self.exact[node.name] = target(*args, **kwargs)
        return self.exact[node.name]

    def _alone(self, node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Compute a call on exact values, its own quantizers between; go on with the exact one."""
        if node.target in QUANTIZERS or node.name not in self.exact:
            return NOT_HANDLED
        target: Any = node.target
        exact, local = self.exact[node.name], target(*args, **kwargs)
        is_float = isinstance(exact, torch.Tensor) and exact.is_floating_point()
        if is_float and not torch.equal(exact, self.last.round(node.name, local)):
            self._record(node, args, kwargs, exact, local)
        return exact

    def _record(
        self,
        node: fx.Node,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        exact: torch.Tensor,
        local: torch.Tensor,
    ) -> None:
        layer = self.layers.get(node.name)
        if layer is None:
            twin = self.nodes[node.name]
            layer = self.layers[node.name] = _describe(twin, node, self.quantized)
        layer.own.add(exact, self.last.round(node.name, local))
        self.local[node.name] = local
        twin = self.nodes[node.name]
        given = dict(zip(arguments(node), args, strict=False)) | kwargs
        for name, source in arguments(twin).items():
            value = given.get(name)
            if not isinstance(source, fx.Node) or not isinstance(value, torch.Tensor):
                continue
            if is_weight(source):
                if name != "bias":
                    layer.weight.add(self.plain.weight(str(source.target)), value)
            elif isinstance(self.exact.get(source.name), torch.Tensor):
                layer.input.add(self.exact[source.name], value)

    def _together(self, node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if node.name not in self.local:
            return NOT_HANDLED
        target: Any = node.target
        value = target(*args, **kwargs)
        self.layers[node.name].accumulated.add(self.exact[node.name], value)
        return value

    def _carried(self, name: str, value: torch.Tensor) -> list[Any]:
        """Run what lies behind a call of the float program, another result in its place."""
        changed: dict[fx.Node, Any] = {self.nodes[name]: value}

        def look_up(node: fx.Node) -> Any:
            return changed[node] if node in changed else self._known(node)

        behind = self._behind(self.nodes[name])
        last = {source: node for node in behind for source in node.all_input_nodes}
        with torch.no_grad():
            for node in behind:
                args, kwargs = map_arg((node.args, node.kwargs), look_up)
                changed[node] = self.float.call(node.target, args, kwargs)
                for source in node.all_input_nodes:
                    if last[source] is node and source not in self.outputs:
                        changed.pop(source, None)
        outputs = [look_up(n) if isinstance(n, fx.Node) else n for n in self.plain.outputs()]
        ends = [isinstance(n, fx.Node) and n.name == name for n in self.plain.outputs()]
        return [
            self.last.round(name, value) if end else value
            for end, value in zip(ends, outputs, strict=True)
        ]

    def _behind(self, node: fx.Node) -> list[fx.Node]:
        """Return the calls that depend on one, in their order."""
        found: set[fx.Node] = set()
        waiting = [node]
        while waiting:
            users = [u for u in waiting.pop().users if u.op != "output" and u not in found]
            found.update(users)
            waiting += users
        return sorted(found, key=self.places.__getitem__)

    def _known(self, node: fx.Node) -> Any:
        if node.op == "get_attr":
            return self.plain.attribute(str(node.target))
        return self.given[node.name] if node.op == "placeholder" else self.exact[node.name]


def _describe(twin: fx.Node, node: fx.Node, program: Program) -> LayerLoss:
    """Describe a call of the quantized program by its twin in the plain one."""
    owner = _owner(twin)
    has_weight = any(is_weight(source) for source in owner.all_input_nodes)
    found = found_precision(node, program)
    return LayerLoss(
        node=node.name,
        kind=kind(node) or str(node.target),
        layer=layer_name(owner) if has_weight else owner.name,
        owner=owner.name,
        where=source_line(node),
        low_bits=any(bits is not None and bits < 8 for bits in (found.weight, found.activation)),
    )


def _owner(node: fx.Node) -> fx.Node:
    """Return the call whose override decides: a view of a quantized result has none of its own."""
    seen = node
    while kind(seen) not in KERNELS:
        source = next((s for s in seen.all_input_nodes if not is_weight(s)), None)
        if source is None or source.op != "call_function":
            return node
        seen = source
    return seen
