"""Divisions with a rest: as torch computes them on ONNX Runtime, of whole numbers on OpenVINO."""

from __future__ import annotations

import pytest
import torch
from rewrite_plugins.lowerings import LOWERINGS
from torch import nn
from torch.utils import _pytree as pytree

from rewrite import capture
from rewrite.lowering.lower import lower
from rewrite.runtimes import get_runtime

from .models import written

AVOIDS = ("quotient-by-reciprocal", "integers-divided-as-floats")
draw = torch.Generator().manual_seed(0)
TENTHS = torch.randint(-100, 100, (60,), generator=draw) * 0.1
WHOLE = torch.arange(-400, 400).float()
SIGNS = torch.tensor([-1, 1])


class Divided(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x, y):
        return self.function(x, y)


def every_way(x, y):
    rounded = [torch.div(x, each, rounding_mode=mode) for each in (7, y, -7) for mode in MODES]
    return (*rounded, x // 7, x // -7, x // y, x % 7, x % -7, x % y, torch.fmod(x, 7))


MODES = ("floor", "trunc")


def steps(x, y):
    return (
        torch.floor(x / 7),
        torch.ceil(x / -7),
        torch.round(x / 49),
        torch.trunc(x / 7),
        (x / 7).long(),
        (x / 14).int(),
        x / 7,
    )


def run(function, runtime, folder, *inputs, avoids=()):
    """Return (what the model gives, what the file gives, the operators of the file)."""
    model = Divided(function).eval()
    program = capture(model, inputs)
    result = lower(program, 20, {x.overload: x.translate for x in LOWERINGS}, {}, avoids)
    loaded = get_runtime(runtime).load(written(result, folder), threads=1)
    names = program.signature.input_names
    read = [value.name for value in result.model.graph.inputs]
    given = {n: x.numpy() for n, x in zip(names, inputs, strict=True) if n in read}
    found = loaded.run(given)
    made = [torch.from_numpy(found[name]) for name in program.signature.output_names]
    return pytree.tree_leaves(model(*inputs)), made, [n.op_type for n in result.model.graph]


def integers(most, dtype=torch.int64):
    x = torch.randint(-most, most, (64,), generator=draw)
    y = torch.randint(1, 9, (64,), generator=draw) * SIGNS[torch.arange(64) % 2]
    return x.to(dtype), y.to(dtype)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
@pytest.mark.parametrize("most", [100, 10**9])
def test_integers_of_every_size(most, dtype, runtime, tmp_path):
    pytest.importorskip(runtime)
    inputs = integers(most, dtype)
    wanted, made, _ = run(every_way, runtime, tmp_path, *inputs, avoids=AVOIDS)
    for left, right in zip(wanted, made, strict=True):
        assert left.dtype == right.dtype
        assert torch.equal(left, right)


def test_floats_as_torch_rounds_them(tmp_path):
    y = TENTHS.roll(1) + 0.05
    y[:4] = torch.tensor([0.0, float("inf"), -float("inf"), float("nan")])

    def ways(x, y):
        tenths = (x // 0.1, x // -0.1, torch.div(x, 0.1, rounding_mode="trunc"), x % 0.1, x % -0.1)
        return (*tenths, x // y, x % y, torch.div(x, y, rounding_mode="floor"), x // 1, x % 0.3)

    wanted, made, _ = run(ways, "onnxruntime", tmp_path, TENTHS, y)
    for left, right in zip(wanted, made, strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=0, equal_nan=True)


def test_a_quotient_of_numbers_of_two_kinds(tmp_path):
    def ways(x, y):
        return x // 0.5, torch.div(x, y), torch.remainder(7, y), x.to(torch.uint8) // 3

    wanted, made, _ = run(ways, "onnxruntime", tmp_path, *integers(100))
    for left, right in zip(wanted, made, strict=True):
        assert left.dtype == right.dtype
        assert torch.equal(left, right)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_steps_behind_a_quotient_of_whole_numbers(runtime, tmp_path):
    pytest.importorskip(runtime)
    wanted, made, _ = run(steps, runtime, tmp_path, WHOLE, WHOLE, avoids=AVOIDS)
    for left, right in zip(wanted[:-1], made[:-1], strict=True):
        assert torch.equal(left, right)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: torch.floor(x / 16),
        lambda x, y: torch.floor(x / 0.1),
        lambda x, y: torch.floor(x / (y + 1000)),
        lambda x, y: torch.relu(x / 7),
    ],
    ids=["power of two", "fraction", "computed", "no step"],
)
def test_other_quotients_stay(function, tmp_path):
    _, _, kinds = run(function, "onnxruntime", tmp_path, WHOLE, WHOLE, avoids=AVOIDS)
    assert "Where" not in kinds


def test_sizes_are_divided_as_they_are():
    def halves(x, y):
        return x[: x.shape[0] // 2]

    program = capture(
        Divided(halves).eval(), (WHOLE, WHOLE), ({0: torch.export.Dim("n", min=4, max=2000)}, None)
    )
    table = {x.overload: x.translate for x in LOWERINGS}
    plain, steered = (lower(program, 20, table, {}, avoids) for avoids in ((), AVOIDS))
    assert len(list(plain.model.graph)) == len(list(steered.model.graph))
