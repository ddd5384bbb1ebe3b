"""ONNX Runtime's CPU provider."""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime

from rewrite.runtimes import Array, KernelVerdict, RuntimeFailure, qdq_graph
from rewrite.runtimes.kernel_match import match
from rewrite.runtimes.missing_kernel import why_missing
from rewrite.runtimes.onnxruntime_rules import why_broken, why_float, why_not_weight_only
from rewrite.runtimes.processor import differ, least_db, saturates
from rewrite.runtimes.timing import milliseconds
from rewrite.runtimes.weighted import has_weight, other_layers

__all__ = ["LoadedOnnx", "OnnxRuntime", "run_with_outputs"]

_PROVIDERS = ["CPUExecutionProvider"]
_FATAL_ONLY = 4
_EXACT = "session.x64quantprecision"
_NO_INT8 = "session.disable_quant_qdq"
INT8_KERNELS = frozenset(
    {
        "ConvInteger",
        "DynamicQuantizeMatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "QGemm",
        "QLinearConv",
        "QLinearMatMul",
    }
)
"""Names of kernels that compute with 8-bit integers."""
_WEIGHT_ONLY = "MatMulNBits"
# Parts of ONNX Runtime's messages, and what the user can do about each.
_HINTS = (
    (
        "does not match y_zero_point type",
        "a known fault of ONNX Runtime with int8 activations at opset 21 and later: use uint8 "
        "activations, opset 20, or put Q/DQ after Reshape and Transpose",
    ),
    (
        "quantize_matmul.cc",
        "MatMul's weight must be per tensor, or per channel along axis 1 of [K, N]",
    ),
    (
        "quantize_linear_matmul.cc",
        "MatMul's weight must be per tensor, or per channel along axis 1 of [K, N]",
    ),
    ("qlinearconv.cc", "Conv's weight must be per tensor, or per channel along axis 0"),
    ("is under development", "export at an older opset; 17 to 21 are safe"),
    ("Could not find an implementation", "this op or type has no CPU kernel: choose another type"),
    ("File doesn't exist", "check the path"),
)


@dataclass(frozen=True)
class OnnxRuntime:
    """The onnxruntime package, on the CPU."""

    name: str = "onnxruntime"
    version: str = onnxruntime.__version__

    def available(self) -> bool:
        """Say whether the runtime is installed; it is a hard dependency."""
        return True

    def load(self, path: str | Path, threads: int = 0) -> LoadedOnnx:
        """Load a file at the level that users run by default (all optimizations)."""
        usual = _session(str(path), _options(threads))
        exact = usual
        if saturates() and _computes_integers(Path(path)):
            exact = _exact_session(usual, str(path), _options, threads)
        return LoadedOnnx(Path(path), threads, usual, exact)


@dataclass(frozen=True)
class LoadedOnnx:
    """One file in an inference session."""

    path: Path
    threads: int
    usual: onnxruntime.InferenceSession
    """The one that users make."""
    session: onnxruntime.InferenceSession
    """It computes what the file says, on processors that saturate too."""

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run once; inputs and outputs go by the file's names."""
        names = [output.name for output in self.session.get_outputs()]
        return _run(self.session, names, feeds)

    def run_usual(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run once as users do."""
        return _run(self.usual, [output.name for output in self.usual.get_outputs()], feeds)

    def latency(
        self, feeds: Mapping[str, Array], repeats: int = 30, seconds: float | None = None
    ) -> list[float]:
        """Return milliseconds of single runs, after a warm-up."""
        given = dict(feeds)
        self.run_usual(given)
        return milliseconds(lambda: self.usual.run(None, given), repeats, seconds)

    def caveat(self, feeds: Mapping[str, Array]) -> str:
        """Return what users of this processor must know to get these results."""
        if self.usual is self.session:
            return ""
        usual, exact = self.run_usual(feeds), self.run(feeds)
        if not differ(usual, exact):
            return ""
        return (
            "this processor has no VNNI, and int8 sums saturate on it: the file was checked with "
            f"{_EXACT}=1; without it agrees to {least_db(exact, usual):.1f} dB"
        )

    def kernels(self) -> list[KernelVerdict]:
        """Return one verdict per compute node, read from the graph that the session runs."""
        source = qdq_graph.read(self.path)
        nodes = qdq_graph.compute_nodes(source)
        found = match(nodes, list(optimized_graph(self.path, self.threads)))
        return [*(_verdict(node, found.get(node)) for node in nodes), *other_layers(source)]

    def kinds(self) -> dict[str, int]:
        """Return how often each operator is in the graph that the session runs."""
        return dict(Counter(node.op_type for node in optimized_graph(self.path, self.threads)))


def optimized_graph(path: Path, threads: int = 0) -> ir.Graph:
    """Return the graph that ONNX Runtime makes of a file, without its weights."""
    with tempfile.TemporaryDirectory(prefix="rewrite-") as folder:
        target = Path(folder) / "optimized.onnx"
        options = _options(threads)
        options.optimized_model_filepath = str(target)
        # Weights go to a file of their own: past 2 GB the graph would not be readable otherwise.
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_file_name", "weights.bin"
        )
        _session(str(path), options)
        return ir.load(target).graph


def run_with_outputs(
    path: str | Path,
    feeds: Mapping[str, Array],
    tensors: Sequence[str],
    threads: int = 0,
) -> dict[str, Array]:
    """Run a file with internal tensors exposed, and return those.

    An exposed uint8 output of a QuantizeLinear leaves the kernels as they are; an exposed float
    tensor or an int8 one keeps the node that makes it in float.
    """
    path = Path(path)
    model = onnx.load(path, load_external_data=False)
    made = {name for node in model.graph.node for name in node.output if name}
    present = {output.name for output in model.graph.output}
    for name in tensors:
        if name not in made | present:
            raise RuntimeFailure(f"{path.name} has no internal tensor '{name}'", "see its nodes")
        if name not in present:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
            present.add(name)

    def options(threads: int) -> onnxruntime.SessionOptions:
        made = _options(threads)
        # A model from memory has no folder of its own to find its external weights in.
        made.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(path.resolve().parent)
        )
        return made

    given = model.SerializeToString()
    session = _exact_session(_session(given, options(threads)), given, options, threads)
    return _run(session, list(tensors), feeds)


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _FATAL_ONLY
    return options


def _computes_integers(path: Path) -> bool:
    """Tell whether a file has anything that int8 kernels compute."""
    graph = onnx.load(path, load_external_data=False).graph
    return any("Linear" in node.op_type or "Integer" in node.op_type for node in graph.node)


def _multiplies_activations(graph: onnx.GraphProto) -> bool:
    """Tell whether a product takes two dequantized values of which none is a weight."""
    constants = {tensor.name for tensor in graph.initializer}
    activations = {
        node.output[0]
        for node in graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] not in constants
    }
    moved = {"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Expand", "Slice"}
    for node in graph.node:
        if node.op_type in moved and node.input[0] in activations:
            activations.add(node.output[0])
    return any(node.op_type == "MatMul" and set(node.input) <= activations for node in graph.node)


def _exact_session(
    usual: onnxruntime.InferenceSession,
    model: str | bytes,
    options: Callable[[int], onnxruntime.SessionOptions],
    threads: int,
) -> onnxruntime.InferenceSession:
    """Return a session in which int8 sums do not saturate, whatever the processor.

    On one without VNNI, ONNX Runtime then multiplies uint8 by uint8: slower, and exact. It cannot
    turn every weight into uint8, such as one that two nodes read; then it multiplies the floats
    that the integers stand for.
    """
    if not saturates():
        return usual
    if isinstance(model, bytes):
        graph = onnx.load_model_from_string(model).graph
    else:
        graph = onnx.load(model, load_external_data=False).graph
    # Only weights are turned into uint8: a product of two activations saturates all the same.
    entries = (_NO_INT8,) if _multiplies_activations(graph) else (_EXACT, _NO_INT8)
    for entry in entries:
        exact = options(threads)
        exact.add_session_config_entry(entry, "1")
        with contextlib.suppress(RuntimeFailure):
            return _session(model, exact)
    return usual


def _session(
    model: str | bytes, options: onnxruntime.SessionOptions
) -> onnxruntime.InferenceSession:
    try:
        return onnxruntime.InferenceSession(model, options, providers=_PROVIDERS)
    except Exception as error:
        more = "onnx.checker.check_model(path, full_check=True) may say more"
        raise RuntimeFailure(
            f"ONNX Runtime {onnxruntime.__version__} cannot load the model: {_message(error)}",
            why_missing(str(error), model) or _hint(str(error), more),
        ) from error


def _run(
    session: onnxruntime.InferenceSession, names: list[str], feeds: Mapping[str, Array]
) -> dict[str, Array]:
    try:
        results = session.run(names, dict(feeds))
    except Exception as error:
        inputs = ", ".join(f"{i.name}: {i.type}{i.shape}" for i in session.get_inputs())
        raise RuntimeFailure(
            f"ONNX Runtime {onnxruntime.__version__} cannot run the model: {_message(error)}",
            _hint(str(error), f"the model takes {inputs}"),
        ) from error
    return {name: np.asarray(value) for name, value in zip(names, results, strict=True)}


def _message(error: Exception) -> str:
    return str(error).splitlines()[0].removeprefix("[ONNXRuntimeError] : ")


def _hint(message: str, otherwise: str) -> str:
    return next((hint for part, hint in _HINTS if part in message), otherwise)


def _verdict(node: ir.Node, kernel: ir.Node | None) -> KernelVerdict:
    name = kernel.op_type if kernel is not None else ""
    if qdq_graph.is_weight_only(node):
        fired = name == _WEIGHT_ONLY
        reason = "" if fired else why_not_weight_only(node)
        return KernelVerdict(
            qdq_graph.label(node), node.op_type, True, fired, name, reason, True, has_weight(node)
        )
    reason = qdq_graph.not_eligible(node)
    eligible = not reason
    fired = name in INT8_KERNELS
    if eligible:
        reason = why_broken(node) if fired else why_float(node, name)
    # A kernel that is chosen and then fails at run time computes nothing in int8.
    fired = fired and not (eligible and reason)
    return KernelVerdict(
        qdq_graph.label(node),
        node.op_type,
        eligible,
        fired,
        name,
        "" if fired else reason,
        has_weight=has_weight(node),
    )
