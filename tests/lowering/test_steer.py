"""Files are written around what runtimes get wrong, and hold no sizes they need not hold."""

from __future__ import annotations

from collections import Counter

import onnx
import onnxruntime
import pytest
import torch
from rewrite_plugins.lowerings import LOWERINGS
from torch import nn
from torch.export import Dim

from rewrite import capture
from rewrite.equivalence import difference
from rewrite.errors import UsageError
from rewrite.lowering.lower import feeds, lower, save
from rewrite.lowering.steer import FAULTS
from rewrite.runtimes import get_runtime
from rewrite.target import AVOIDABLE, Target

from .models import lowered, quantized, run, seven_bits, written

IMAGE = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
ROWS = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))


class ClassToken(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 4, 2, 2)
        self.token = nn.Parameter(torch.randn(1, 1, 4))

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2).reshape(x.shape[0], 16, 2, 2)
        return torch.cat((self.token.expand(x.shape[0], -1, -1), tokens.flatten(2)), 1)


class Dense(nn.Module):
    def __init__(self, act):
        super().__init__()
        self.linear, self.act = nn.Linear(6, 4), act

    def forward(self, x):
        return self.act(self.linear(x)).sin()


def made(module, x, avoids, tmp_path):
    program = capture(module.eval(), (x,), ({0: Dim("batch", max=8)},))
    table = {each.overload: each.translate for each in LOWERINGS}
    result = lower(program, 20, table, {}, avoids)
    other = torch.cat((x, x.flip(0), x))[:5]
    path = written(result, tmp_path)
    (actual,) = run(path, program, other).values()
    torch.testing.assert_close(torch.from_numpy(actual), program(other), rtol=1e-5, atol=1e-5)
    return result.model


def ops(model):
    return Counter(node.op_type for node in model.graph)


def test_one_unknown_size_is_inferred(tmp_path):
    class Split(nn.Module):
        def forward(self, x):
            return x.reshape(x.shape[0], 3, 2, 32).transpose(1, 2)

    assert ops(made(Split(), IMAGE, (), tmp_path)) == {"Reshape": 1, "Transpose": 1}


def test_sizes_are_hidden_from_convolutions(tmp_path):
    model = made(ClassToken(), IMAGE, ("size-moved-to-conv",), tmp_path)
    readers = {
        use.node.op_type for n in model.graph if n.op_type == "Shape" for use in n.outputs[0].uses()
    }
    assert readers == {"Mul", "Gather"}
    places = [node.inputs[1] for node in model.graph if node.op_type == "Gather"]
    assert all(place.producer().op_type == "Add" for place in places)


@pytest.mark.parametrize("rows", [8, 7])
def test_half_of_a_hidden_size_is_rounded_down(rows, tmp_path):
    pytest.importorskip("openvino")

    class Lower(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x):
            return self.conv(x), x[:, :, x.shape[2] // 2 :]

    torch.manual_seed(0)
    dynamic = ({2: torch.export.Dim("height", min=4, max=64)},)
    program = capture(Lower().eval(), (IMAGE,), dynamic)
    path = written(lowered(program, 20, ("size-moved-to-conv",)), tmp_path)
    x = torch.randn(2, 3, rows, 8)
    found = list(get_runtime("openvino").load(path).run({"x": x.numpy()}).values())
    assert found[1].shape[2] == rows - rows // 2


def test_sizes_are_in_the_open_without_convolutions(tmp_path):
    class Token(nn.Module):
        def forward(self, x):
            return torch.cat((x.new_ones(1, 6).expand(x.shape[0], -1), x), 1)

    model = made(Token(), ROWS, ("size-moved-to-conv",), tmp_path)
    assert ops(model)["Shape"] == 1 and not ops(model)["ReduceSum"]


@pytest.mark.parametrize(
    ("act", "spelled"),
    [
        (nn.ReLU(), {"Max": 1}),
        (nn.ReLU6(), {"Max": 1, "Min": 1}),
        (nn.Sigmoid(), {"Sigmoid": 1}),
    ],
    ids=["relu", "relu6", "sigmoid"],
)
def test_relu_behind_a_product_is_spelled_out(act, spelled, tmp_path):
    found = ops(made(Dense(act), ROWS, ("float-relu-behind-product",), tmp_path))
    assert found == {"Gemm": 1, "Sin": 1, **spelled}


@pytest.mark.parametrize("name", ["zero", "lowest"])
def test_weights_of_the_names_of_its_constants_are_left_alone(name, tmp_path):
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 6)
            setattr(self, name, nn.Parameter(torch.full((6,), 0.7)))

        def forward(self, x):
            return self.linear(x).relu().sin() * getattr(self, name)

    model = made(Named(), ROWS, ("float-relu-behind-product",), tmp_path)
    assert ops(model)["Max"] == 1
    program = quantized(Shared(name), ROWS)
    table = {each.overload: each.translate for each in LOWERINGS}
    path = written(lower(program, 20, table, {}, ("product-read-twice",)), tmp_path)
    for value, expected in zip(run(path, program, ROWS).values(), program(ROWS), strict=True):
        torch.testing.assert_close(torch.from_numpy(value), expected, rtol=1e-5, atol=1e-5)


def test_relu_elsewhere_stays(tmp_path):
    model = made(
        nn.Sequential(nn.Tanh(), nn.ReLU()), ROWS, ("float-relu-behind-product",), tmp_path
    )
    assert ops(model) == {"Tanh": 1, "Relu": 1}


def test_faults_of_targets_are_known():
    assert set(AVOIDABLE) == set(FAULTS)
    with pytest.raises(UsageError, match="unknown fault to avoid 'size-moved'"):
        Target.parse('name = "mine"\navoids = ["size-moved"]')


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        x = self.first(x)
        return self.second(x) + x


def test_product_read_by_a_quantizer_and_in_float_is_int8(tmp_path):
    program = quantized(Residual().eval(), ROWS)
    table = {each.overload: each.translate for each in LOWERINGS}
    fired = []
    for avoids in ((), ("product-read-twice",)):
        path = written(lower(program, 20, table, {}, avoids), tmp_path)
        verdicts = get_runtime("onnxruntime").load(path, threads=1).kernels()
        fired.append(sum(verdict.fired for verdict in verdicts))
        (actual,) = run(path, program, ROWS).values()
        torch.testing.assert_close(torch.from_numpy(actual), program(ROWS), rtol=1e-5, atol=1e-5)
    assert fired[1] == 2 > fired[0]


PRODUCTS = {
    "relu": (nn.Sequential(nn.Linear(6, 6, bias=False), nn.ReLU(), nn.Linear(6, 4)), None, 1),
    "nothing": (nn.Sequential(nn.Linear(6, 6, bias=False), nn.Linear(6, 4)), None, 1),
    "both": (nn.Sequential(*(nn.Linear(6, 6, bias=False) for _ in range(3))), None, 2),
    "bias": (nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 4)), None, 0),
    "gelu": (nn.Sequential(nn.Linear(6, 6, bias=False), nn.GELU(), nn.Linear(6, 4)), None, 0),
    "dynamic": (
        nn.Sequential(nn.Linear(6, 6, bias=False), nn.ReLU(), nn.Linear(6, 4)),
        ({0: Dim("batch", max=8)},),
        0,
    ),
}


@pytest.mark.parametrize("case", PRODUCTS)
def test_products_of_fixed_size_without_a_bias_are_held(case, tmp_path):
    openvino = pytest.importorskip("openvino")
    torch.manual_seed(0)
    module, dynamic, held = PRODUCTS[case]
    program = quantized(module, ROWS, target=seven_bits("openvino"), dynamic=dynamic)
    lowered = lower(program, 20, {}, {}, ("product-without-bias",))
    assert lowered.ops().get("Max", 0) == held
    model = openvino.Core().compile_model(
        str(written(lowered, tmp_path)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    (actual,) = model(feeds(program, [ROWS], program.signature.input_names)).values()
    assert decibels(program(ROWS), torch.from_numpy(actual)) > 30


def test_a_product_that_is_returned_is_not_held(tmp_path):
    pytest.importorskip("openvino")

    class Returned(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(6, 6, bias=False), nn.Linear(6, 4)

        def forward(self, x):
            x = self.first(x)
            return x, self.second(x.relu())

    torch.manual_seed(0)
    program = quantized(Returned(), ROWS, target="openvino")
    lowered = lower(program, 20, {}, {}, ("product-without-bias",))
    assert "Max" not in lowered.ops()
    loaded = get_runtime("openvino").load(written(lowered, tmp_path), threads=1)
    actual = loaded.run(feeds(program, [ROWS], program.signature.input_names)).values()
    for value, expected in zip(actual, program(ROWS), strict=True):
        assert decibels(expected, torch.from_numpy(value)) > 30


def decibels(expected, actual) -> float:
    return difference([(expected, actual)]).sqnr_db


class Shared(nn.Module):
    """A product that a layer reads and a float product with a weight of some name."""

    def __init__(self, name):
        super().__init__()
        self.first, self.second, self.name = nn.Linear(6, 6), nn.Linear(6, 6), name
        setattr(self, name, nn.Parameter(torch.full((6,), 0.7)))

    def forward(self, x):
        x = self.first(x)
        return self.second(x), x * getattr(self, self.name)


class Patches(nn.Module):
    def __init__(self, bias=True):
        super().__init__()
        self.patch = nn.Conv2d(3, 6, 4, stride=4)
        self.middle, self.last = nn.Linear(6, 6, bias=bias), nn.Linear(6, 6)

    def forward(self, x):
        return self.last(self.middle(self.patch(x).flatten(2).transpose(1, 2)))


FLOAT_WITHIN = {
    "conv": (
        nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)
        ),
        IMAGE,
        "2",
    ),
    "behind a layout": (
        nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 8), nn.Linear(8, 2)
        ),
        IMAGE,
        "3",
    ),
    "rows of rows": (Patches(), IMAGE, "middle"),
}


@pytest.mark.parametrize("case", FLOAT_WITHIN)
def test_a_layer_left_float_between_quantized_ones_is_float(case, tmp_path):
    torch.manual_seed(0)
    module, x, skipped = FLOAT_WITHIN[case]
    program = quantized(module.eval(), x, skipped)
    kernels = []
    for avoids in ((), ("float-weight-quantized",)):
        path = written(lower(program, 20, {}, {}, avoids), tmp_path)
        verdicts = get_runtime("onnxruntime").load(path, threads=1).kernels()
        kernels.append(next(v.kernel for v in verdicts if not v.eligible))
        (actual,) = run(path, program, x).values()
    assert kernels[0] in ("QLinearConv", "QGemm")
    assert kernels[1] in ("Conv", "FusedConv", "Gemm", "FusedGemm")
    torch.testing.assert_close(torch.from_numpy(actual), program(x), rtol=1e-5, atol=1e-5)


STAYS_FLOAT = {
    "last": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)), IMAGE, "2"),
    "without a bias": (Patches(bias=False), IMAGE, "middle"),
    "in front of another activation": (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.LeakyReLU(), nn.Conv2d(4, 4, 3)),
        IMAGE,
        "1",
    ),
}


@pytest.mark.parametrize("case", STAYS_FLOAT)
def test_a_float_layer_that_the_runtime_leaves_alone_is_left_alone(case, tmp_path):
    torch.manual_seed(0)
    module, x, skipped = STAYS_FLOAT[case]
    program = quantized(module.eval(), x, skipped)
    lowered = lower(program, 20, {}, {}, ("float-weight-quantized",))
    assert "Max" not in lowered.ops()
    verdicts = get_runtime("onnxruntime").load(written(lowered, tmp_path), threads=1).kernels()
    (kernel,) = [v.kernel for v in verdicts if not v.eligible]
    assert kernel in ("Conv", "FusedConv", "MatMul")


def pooled(front, *pools):
    """A convolution behind max pools, which read what `front` makes of an image."""
    torch.manual_seed(0)
    return nn.Sequential(*front, *(pools or (nn.MaxPool2d(2),)), nn.Conv2d(3, 4, 1)).eval()


def optimized(model, tmp_path):
    """Return the operators that ONNX Runtime puts behind each of its quantizers."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    save(model, tmp_path / "model.onnx")
    onnxruntime.InferenceSession(
        str(tmp_path / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    nodes = onnx.load(tmp_path / "optimized.onnx").graph.node
    made = {o for node in nodes if node.op_type == "QuantizeLinear" for o in node.output}
    return {node.op_type for node in nodes if made & set(node.input)}


@pytest.mark.parametrize(
    "pools", [(), (nn.MaxPool2d(2), nn.MaxPool2d(3, 1, 1))], ids=["one", "two"]
)
def test_a_pool_of_floats_stays_one(pools, tmp_path):
    program = quantized(pooled([nn.Tanh()], *pools), IMAGE)
    before = lower(program, 20, {}, {})
    assert "MaxPool" in optimized(before.model, tmp_path)
    after = lower(program, 20, {}, {}, ("quantizer-moved-past-pool",))
    assert "MaxPool" not in optimized(after.model, tmp_path)
    assert after.ops()["Max"] == 1
    (actual,) = run(written(after, tmp_path), program, IMAGE).values()
    torch.testing.assert_close(torch.from_numpy(actual), program(IMAGE), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "front", [[nn.Conv2d(3, 3, 1), nn.ReLU()], [nn.Conv2d(3, 3, 1)]], ids=["relu", "none"]
)
def test_a_pool_of_integers_stays_one(front, tmp_path):
    lowered = lower(quantized(pooled(front), IMAGE), 20, {}, {}, ("quantizer-moved-past-pool",))
    assert "Max" not in lowered.ops()
