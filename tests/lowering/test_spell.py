"""What one runtime needs and costs nothing on the others: signs of zero, vectors, own readers."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
import torch
import torch.nn.functional as F
from rewrite_plugins.calibrate import Calibrate
from rewrite_plugins.calibrators.min_max import MinMax
from rewrite_plugins.expand_attention import ExpandAttention
from rewrite_plugins.insert_quantizers import InsertQuantizers
from rewrite_plugins.lay_out_linear import LayOutLinear
from torch import nn
from torch.export import Dim

from rewrite import Context, capture
from rewrite.lowering.agreement import layer_by_layer
from rewrite.pipeline import run_passes
from rewrite.plugin_host import PluginHost
from rewrite.runtimes import get_runtime

from .models import Call, assert_agrees, lowered, run, written


def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("value", [0.0, 0.5, float("-inf")])
def test_padding_in_front_of_a_pool_stays_apart(value, tmp_path):
    x = -torch.rand(1, 2, 6, 6, generator=generator())
    pool = Call(lambda x: F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=value), 3, 2))
    assert_agrees(capture(pool.eval(), (x,)), tmp_path)


class Embedded(nn.Module):
    """Attention over embeddings that a number scales."""

    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(9, 16), nn.Embedding(8, 16)
        self.query, self.key = nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, ids):
        x = self.words(ids) * 4.0 + self.places(torch.arange(ids.shape[1]))
        heads = (*ids.shape, 2, 8)
        query = self.query(x).reshape(heads).transpose(1, 2)
        key = self.key(x).reshape(heads).permute(0, 2, 3, 1)
        return (query @ key).softmax(-1)


def quantized(module, inputs, dynamic=None):
    passes = (InsertQuantizers(), Calibrate(), ExpandAttention(), LayOutLinear())
    target = PluginHost().find_target("portable")
    context = Context(target=target, calibrators={"min-max": MinMax})
    program = capture(module.eval(), inputs, dynamic)
    return run_passes(program, passes, context, checked=False).program


def test_scalar_beside_an_embedding_is_a_vector(tmp_path):
    torch.manual_seed(0)
    ids = torch.randint(0, 9, (2, 5))
    dynamic = ({0: Dim("batch", max=8), 1: Dim("tokens", max=8)},)
    program = quantized(Embedded(), (ids,), dynamic)
    result = lowered(program)
    scaled = next(node for node in result.model.graph if node.op_type == "Mul")
    factor = ir.convenience.get_const_tensor(scaled.inputs[1])
    np.testing.assert_array_equal(factor.numpy(), np.full(16, 4.0, np.float32))
    path = written(result, tmp_path)
    (expected,) = run(path, program, ids).values()
    openvino = get_runtime("openvino")
    if openvino.available():
        (actual,) = openvino.load(path, threads=1).run({"ids": ids.numpy()}).values()
        np.testing.assert_allclose(actual, expected, atol=0.01)


class Twice(nn.Module):
    """One tensor in two products with other computed ones."""

    def forward(self, x, y, z):
        return x @ y, x @ z


def test_each_reader_of_a_signed_tensor_has_its_quantizer(tmp_path):
    inputs = tuple(torch.randn(2, 4, 4, generator=generator()) + i for i in range(3))
    program = quantized(Twice(), inputs)
    result = lowered(program)
    path = written(result, tmp_path)
    verdicts = get_runtime("onnxruntime").load(path, threads=1).kernels()
    assert [verdict.fired for verdict in verdicts] == [True, True]
    layers = layer_by_layer(result, path, ["x", "y", "z"], (inputs, {}))
    assert layers.compared == layers.total == 3
    assert layers.max_lsb <= 1


def test_equal_quantizers_of_the_program_are_one_tensor(tmp_path):
    x = torch.randn(2, 4, 4, generator=generator())
    program = quantized(Call(lambda x: x.sin() @ x.cos() + x.cos() @ x.sin()), (x,))
    result = lowered(program)
    layers = layer_by_layer(result, written(result, tmp_path), ["x"], ((x,), {}))
    assert layers.compared == layers.total


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_what_becomes_a_scalar_is_squeezed(runtime, tmp_path):
    pytest.importorskip(runtime)
    x = torch.randn(1, 5, generator=generator())
    program = capture(Call(lambda x: (x @ x.T).reshape(()) / 4).eval(), (x,))
    result = lowered(program)
    assert "Reshape" not in {node.op_type for node in result.model.graph}
    loaded = get_runtime(runtime).load(written(result, tmp_path), threads=1)
    (found,) = loaded.run({program.signature.input_names[0]: x.numpy()}).values()
    np.testing.assert_allclose(found, program(x).numpy(), rtol=1e-6)
