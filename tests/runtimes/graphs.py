"""A small builder of QDQ graphs: each method adds nodes and returns the name of its output."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

U8 = np.uint8
S8 = np.int8


def channel_scales(size: int) -> np.ndarray:
    return (0.01 * (1 + np.arange(size) % 4 / 8)).astype(np.float32)


class Graph:
    """Collects nodes and initializers; `save` checks and writes the file."""

    def __init__(self, opset: int = 17, seed: int = 0):
        self.opset = opset
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: dict[str, list[int | str]] = {}
        self.types: dict[str, int] = {}
        self.outputs: list[str] = []

    def input(self, name: str, shape: list[int | str], dtype=np.float32) -> str:
        self.inputs[name] = shape
        self.types[name] = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return name

    def const(self, name: str, value) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def floats(self, name: str, shape: list[int]) -> str:
        return self.const(name, (self.random.normal(size=shape) * 0.1).astype(np.float32))

    def op(self, op_type: str, *inputs: str, name: str = "", **attributes) -> str:
        label = name or f"{op_type.lower()}_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(op_type, list(inputs), [f"{label}_out"], name=label, **attributes)
        )
        return f"{label}_out"

    def _scale(self, label: str, scale, zero_point, dtype) -> list[str]:
        return [
            self.const(f"{label}_scale", np.asarray(scale, np.float32)),
            self.const(f"{label}_zp", np.asarray(zero_point, dtype)),
        ]

    def quantize(self, x: str, scale=0.05, zero_point=128, dtype=U8, name: str = "") -> str:
        label = name or f"q_{len(self.nodes)}"
        return self.op(
            "QuantizeLinear", x, *self._scale(label, scale, zero_point, dtype), name=label
        )

    def dequantize(self, x: str, scale=0.05, zero_point=128, dtype=U8, axis=None) -> str:
        label = f"dq_{len(self.nodes)}"
        attributes = {} if axis is None else {"axis": axis}
        return self.op(
            "DequantizeLinear",
            x,
            *self._scale(label, scale, zero_point, dtype),
            name=label,
            **attributes,
        )

    def qdq(self, x: str, scale=0.05, zero_point=128, dtype=U8) -> str:
        return self.dequantize(self.quantize(x, scale, zero_point, dtype), scale, zero_point, dtype)

    def weight(self, name: str, shape: list[int], axis=None, dtype=S8, zero_point=0) -> str:
        low = -100 if dtype is S8 else 20
        values = self.random.integers(low, 100, shape).astype(dtype)
        if axis is None:
            return self.dequantize(self.const(name, values), 0.01, zero_point, dtype)
        scale = channel_scales(shape[axis])
        points = np.full(shape[axis], zero_point, dtype)
        return self.dequantize(self.const(name, values), scale, points, dtype, axis)

    def bias(self, name: str, size: int, axis=None, factor: float = 1.0) -> str:
        """Add an int32 bias that fits an input scale of 0.05 and a weight of this builder."""
        values = self.random.integers(-500, 500, size).astype(np.int32)
        if axis is None:
            return self.dequantize(self.const(name, values), 0.0005 * factor, 0, np.int32)
        scales = channel_scales(size) * np.float32(0.05 * factor)
        return self.dequantize(self.const(name, values), scales, np.zeros(size), np.int32, 0)

    def conv(self, x: str, cin: int, cout: int, name: str, kernel: int = 3, **attributes) -> str:
        pad = kernel // 2
        w = self.weight(f"{name}_w", [cout, cin, kernel, kernel], axis=0)
        b = self.bias(f"{name}_b", cout, axis=0)
        attributes.setdefault("pads", [pad] * 4)
        return self.op("Conv", x, w, b, name=name, **attributes)

    def output(self, *names: str) -> None:
        self.outputs.extend(names)

    def model(self, functions=()) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "tiny",
            [helper.make_tensor_value_info(n, self.types[n], s) for n, s in self.inputs.items()],
            [helper.make_empty_tensor_value_info(n) for n in self.outputs],
            self.constants,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", self.opset), helper.make_opsetid("custom", 1)],
            ir_version=10,
            functions=functions,
        )
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
        onnx.checker.check_model(model, full_check=True)
        return model

    def save(self, path: Path, external: bool = False, functions=()) -> Path:
        if external:
            data = path.with_suffix(".bin").name
            onnx.save(self.model(functions), path, save_as_external_data=True, location=data)
        else:
            onnx.save(self.model(functions), path)
        return path

    def feeds(self, **dims: int) -> dict[str, np.ndarray]:
        shapes = {n: [dims.get(d, d) for d in s] for n, s in self.inputs.items()}
        drawn = {n: self.random.normal(size=s).astype(np.float32) for n, s in shapes.items()}
        masks = [n for n, kind in self.types.items() if kind == onnx.TensorProto.BOOL]
        return drawn | {n: drawn[n] > 0 for n in masks}


def conv_residual_block(opset: int = 17) -> Graph:
    """Return the CNN half of the portable recipe: every activation uint8, weights int8."""
    g = Graph(opset)
    x = g.qdq(g.input("x", ["N", 8, 8, 8]))
    y = g.qdq(g.op("Relu", g.conv(x, 8, 8, "c1")), zero_point=0)
    y = g.qdq(g.conv(y, 8, 8, "c2"))
    y = g.qdq(g.op("Relu", g.op("Add", y, x)), zero_point=0)
    y = g.op("Flatten", g.op("GlobalAveragePool", y))
    y = g.qdq(y, zero_point=0)
    g.output(
        g.op("Gemm", y, g.weight("fc_w", [8, 10], axis=1), g.bias("fc_b", 10, axis=0), name="fc")
    )
    return g


def transformer_block(opset: int = 17, width: int = 16, heads: int = 2, tokens: int = 6) -> Graph:
    """Return the transformer half: uint8 into weights, int8 q, k and v, softmax at 1/255."""
    g = Graph(opset)
    split = g.const("split", np.array([0, tokens, heads, width // heads]))
    merge = g.const("merge", np.array([0, tokens, width]))

    def norm(y: str) -> str:
        scale = g.const(f"norm_{len(g.nodes)}", np.ones(width, np.float32))
        return g.op("LayerNormalization", y, scale, axis=-1)

    def linear(y: str, name: str, cin: int, cout: int) -> str:
        y = g.op("MatMul", y, g.weight(f"{name}_w", [cin, cout], axis=1), name=name)
        return g.op("Add", y, g.bias(f"{name}_b", cout, axis=0))

    def head(y: str, perm: list[int]) -> str:
        y = g.op("Transpose", g.op("Reshape", y, split), perm=perm)
        return g.qdq(y, zero_point=0, dtype=S8)

    x = g.input("x", ["N", tokens, width])
    y = g.qdq(norm(x))
    q, k, v = (linear(y, name, width, width) for name in "qkv")
    scores = g.op("MatMul", head(q, [0, 2, 1, 3]), head(k, [0, 2, 3, 1]), name="qk")
    weights = g.qdq(g.op("Softmax", scores, axis=-1), 1 / 255, 0)
    y = g.op("MatMul", weights, head(v, [0, 2, 1, 3]), name="pv")
    y = g.op("Reshape", g.op("Transpose", y, perm=[0, 2, 1, 3]), merge)
    x = g.op("Add", x, linear(g.qdq(y), "proj", width, width))
    y = linear(g.qdq(norm(x)), "up", width, 4 * width)
    y = g.op("Mul", y, g.op("Sigmoid", y))
    g.output(g.op("Add", x, linear(g.qdq(y), "down", 4 * width, width)))
    return g
