"""OpenVINO on the CPU; optional, so the package is imported only when a model is loaded."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from rewrite.runtimes import (
    Array,
    KernelVerdict,
    RuntimeFailure,
    float_quantizers,
    qdq_graph,
)
from rewrite.runtimes.narrowed_numbers import narrowed_numbers
from rewrite.runtimes.openvino_executed import executed_layers, layer_kind, match
from rewrite.runtimes.openvino_rules import why_float
from rewrite.runtimes.processor import differ, least_db, saturates
from rewrite.runtimes.timing import milliseconds
from rewrite.runtimes.weighted import has_weight, other_layers

__all__ = ["LoadedOpenVino", "OpenVino"]

_INT8_KERNELS = "LP_TRANSFORMS_MODE"
_HEADINGS = (
    "Exception from",
    "Check '",
    "FrontEnd API failed",
    "Model wasn't",
    "While validating",
    "-- ",
    "Summary",
)
"""How lines of an error begin that do not say what is wrong."""
_WATCHED = 2
"""Earlier runs."""
_FAILED_NODE = re.compile(r"ONNX node '<Node\(([\w.]+)\): ([^>]+)>'")
_UNKNOWN = re.compile(r"No conversion rule found for operations: ([^\n]+)")


@dataclass(frozen=True)
class OpenVino:
    """The openvino package, on the CPU."""

    name: str = "openvino"
    precision: str = "f32"
    """What float layers compute in. OpenVINO's own default is bf16 where the CPU has it, and then
    a comparison with the float model measures bf16 besides the quantization; "" leaves it so."""

    @property
    def version(self) -> str:
        """The installed version; empty if it is not installed."""
        return importlib.metadata.version("openvino") if self.available() else ""

    def available(self) -> bool:
        """Say whether the runtime is installed."""
        return importlib.util.find_spec("openvino") is not None

    def load(self, path: str | Path, threads: int = 0) -> LoadedOpenVino:
        """Compile a file for the CPU, tuned for the latency of one request."""
        if not self.available():
            hint = "pip install 'rewrite-compiler[openvino]'"
            raise RuntimeFailure("OpenVINO is not installed", hint)
        if not Path(path).is_file():
            raise RuntimeFailure(f"there is no file {path}", "check the path")
        config: dict[str, str | int | bool] = {"PERFORMANCE_HINT": "LATENCY"}
        if threads:
            config["INFERENCE_NUM_THREADS"] = threads
        if self.precision:
            config["INFERENCE_PRECISION_HINT"] = self.precision
        compiled = self._compile(path, config)
        usual = exact = compiled.create_infer_request()
        graph = qdq_graph.read(path).graph
        if saturates() and any(qdq_graph.is_quantize(node) for node in graph):
            exact = self._without_integers(Path(path), {**config, _INT8_KERNELS: False})
        inputs, outputs = ([str(v.name) for v in side] for side in (graph.inputs, graph.outputs))
        return LoadedOpenVino(Path(path), compiled, usual, exact, tuple(inputs), tuple(outputs))

    def _without_integers(self, path: Path, config: Mapping[str, str | int | bool]) -> Any:
        """Return a request that computes with the floats that the integers stand for.

        Without its int8 kernels alone, OpenVINO gets a quantizer behind a transposition wrong.
        """
        with tempfile.TemporaryDirectory(prefix="rewrite-") as folder:
            floats = float_quantizers.write(path, Path(folder))
            return self._compile(floats, config).create_infer_request()

    def _compile(self, path: str | Path, config: Mapping[str, str | int | bool]) -> Any:
        import openvino

        try:
            return openvino.Core().compile_model(str(path), "CPU", dict(config))
        except Exception as error:
            what = f"OpenVINO {self.version} cannot compile the model: {_message(error)}"
            hint = "onnx.checker.check_model(path, full_check=True) may say more"
            raise RuntimeFailure(what, hint) from error


@dataclass(frozen=True)
class LoadedOpenVino:
    """One file, compiled."""

    path: Path
    compiled: Any
    usual: Any
    """The request that users make."""
    exact: Any
    """The same; without int8 kernels where they saturate on this processor."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    _earlier: list[list[tuple[Array, Array]]] = field(
        default_factory=list, repr=False, compare=False
    )
    """What the last runs were given, and copies of it."""

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run once; inputs and outputs go by the file's names."""
        return self._infer(self.exact, self._checked(feeds))

    def run_usual(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run once as users do."""
        return self._infer(self.usual, self._checked(feeds))

    def latency(
        self, feeds: Mapping[str, Array], repeats: int = 30, seconds: float | None = None
    ) -> list[float]:
        """Return milliseconds of single runs, after a warm-up."""
        given = self._checked(feeds)
        self._infer(self.usual, given)
        return milliseconds(lambda: self.usual.infer(given), repeats, seconds)

    def caveat(self, feeds: Mapping[str, Array]) -> str:
        """Return what users must know to get these results, on this processor and at all."""
        narrowed = narrowed_numbers(qdq_graph.read(self.path).graph, feeds)
        return "; ".join(filter(None, (narrowed, self._saturation(feeds))))

    def _saturation(self, feeds: Mapping[str, Array]) -> str:
        if self.exact is self.usual:
            return ""
        given = self._checked(feeds)
        usual, exact = self._infer(self.usual, given), self._infer(self.exact, given)
        if not differ(usual, exact):
            return ""
        return (
            "this processor has no VNNI, and int8 sums saturate on it: the file was checked with "
            f"OpenVINO's int8 kernels off; with them it agrees to {least_db(exact, usual):.1f} dB"
        )

    def kernels(self) -> list[KernelVerdict]:
        """Return one verdict per compute node, read from the graph that the plugin executes.

        OpenVINO reports one precision for an attention it compiles as a whole (`Subgraph`): that
        of its first input.
        """
        layers = executed_layers(self.compiled.get_runtime_model())
        source = qdq_graph.read(self.path)
        nodes = qdq_graph.compute_nodes(source)
        found = match(nodes, layers)
        return [*(_verdict(node, found.get(node, "")) for node in nodes), *other_layers(source)]

    def kinds(self) -> dict[str, int]:
        """Return how often each kind of layer is in the graph that the plugin executes."""
        layers = self.compiled.get_runtime_model().get_ordered_ops()
        return dict(Counter(layer_kind(layer) for layer in layers))

    def _checked(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Refuse what OpenVINO lets pass: missing inputs and wrong shapes read stale memory."""
        from openvino import PartialShape

        wrong = set(feeds).symmetric_difference(self.inputs)
        if wrong:
            what = f"OpenVINO cannot run the model: missing or unknown input {sorted(wrong)}"
            raise RuntimeFailure(what, self._signature())
        # An input that nothing reads has no port.
        ports = {name: port for port in self.compiled.inputs for name in port.get_names()}
        kept = {name: value for name, value in feeds.items() if name in ports}
        for name, value in kept.items():
            if not ports[name].partial_shape.compatible(PartialShape(list(value.shape))):
                what = f"OpenVINO cannot run the model: input '{name}' has shape {value.shape}"
                raise RuntimeFailure(what, self._signature())
        return kept

    def _infer(self, request: Any, feeds: dict[str, Array]) -> dict[str, Array]:
        # As users run a compiled model: it reads the memory that they give it.
        shared = {name: np.array(value, order="C") for name, value in feeds.items()}
        given = [(value, value.copy()) for value in shared.values()]
        try:
            request.infer(shared, share_inputs=True)
        except Exception as error:
            what = f"OpenVINO cannot run the model: {_message(error)}"
            raise RuntimeFailure(what, self._signature()) from error
        self._watch(given)
        # By position: OpenVINO may know one tensor under several names.
        return {
            name: np.array(request.get_output_tensor(index).data)
            for index, name in enumerate(self.outputs)
        }

    def _watch(self, given: list[tuple[Array, Array]]) -> None:
        """Hold OpenVINO to leaving what it was given as it is, in later runs too."""
        self._earlier[:] = [*self._earlier[-_WATCHED:], given]
        kept = (pair for run in self._earlier for pair in run)
        if any(value.tobytes() != copy.tobytes() for value, copy in kept):
            what = "OpenVINO writes to the inputs of earlier runs, whose memory may be another's"
            raise RuntimeFailure(what, "an output may be an input as it is: compute it elsewhere")

    def _signature(self) -> str:
        ports = self.compiled.inputs
        types = [f"{p.element_type.get_type_name()}{p.partial_shape}" for p in ports]
        named = [f"{p.get_any_name()}: {t}" for p, t in zip(ports, types, strict=True)]
        return f"the model takes {', '.join(named)}"


def _verdict(node: ir.Node, kernel: str) -> KernelVerdict:
    reason = qdq_graph.not_eligible(node)
    # Not runtimePrecision: a weight-only layer calls itself i8 there and computes in float.
    fired = not reason and kernel.lower().endswith("_i8")
    if not reason and not fired:
        reason = why_float(node, kernel)
    return KernelVerdict(
        qdq_graph.label(node),
        node.op_type,
        not qdq_graph.not_eligible(node),
        fired,
        kernel,
        reason,
        has_weight=has_weight(node),
    )


def _message(error: Exception) -> str:
    """Return what an error says behind its headings; of several operators, the first two.

    The node that could not be read is named, and what has no translation.
    """
    text = str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(_HEADINGS)]
    node = _FAILED_NODE.search(text)
    unknown = _UNKNOWN.search(text)
    if unknown is not None:
        told.insert(0, f"no translation of {unknown[1].strip()}")
    elif node is not None and told:
        told[0] = f"{node[1]} '{node[2]}': {told[0]}"
    return "; ".join(dict.fromkeys(told[:2])) or next(reversed(lines), type(error).__name__)
