"""Weights with a scale per block: the program, the file, and the kernel that ONNX Runtime chose."""

import dataclasses

import onnx
import pytest
import torch
from rewrite_plugins.calibrate import Calibrate
from rewrite_plugins.insert_quantizers import InsertQuantizers
from rewrite_plugins.lay_out_linear import LayOutLinear
from rewrite_plugins.lowerings import LOWERINGS
from rewrite_plugins.quantize_weights import QuantizeWeights
from torch import nn
from torch.export import Dim

from rewrite import UsageError
from rewrite.lowering.lower import feeds, lower, save
from rewrite.plugin_host import PluginHost
from rewrite.quantization.markers import DEQUANTIZE_BLOCKS, QUANTIZE
from rewrite.runtimes import get_runtime
from rewrite.schema import argument
from rewrite.testing import check_declines, check_pass

from .models import Call, captured, context, randn, run

OPSET = 21
KERNEL_ROUNDING = 0.02
"""Relative: MatMulNBits rounds activations to 8 bits, half of 1/127 of the largest each."""


def net(width: int = 64) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(width, 96), nn.GELU(), nn.Linear(96, 32, bias=False))


def written(program, folder):
    translations = {entry.overload: entry.translate for entry in LOWERINGS}
    save(lower(program, OPSET, translations, {}).model, folder / "model.onnx")
    return folder / "model.onnx"


def restored_error(program, name, model):
    call = next(
        n
        for n in program.graph.nodes
        if n.target is DEQUANTIZE_BLOCKS and str(n.args[0].target).startswith(name)
    )
    parts = [program.weight(str(a.target)) for a in call.args[:3]]
    found = DEQUANTIZE_BLOCKS(*parts, *call.args[3:])
    weight = model.get_parameter(name).detach()
    return float((found - weight).norm() / weight.norm())


@pytest.mark.parametrize(("bits", "error"), [(4, 0.08), (8, 0.005)])
@pytest.mark.parametrize("symmetric", [True, False])
def test_every_layer_gets_blocks(bits, error, symmetric):
    model = net()
    pass_ = QuantizeWeights(bits=bits, symmetric=symmetric)
    program = check_pass(pass_, model, (randn(3, 64),), rewrites=2)
    assert restored_error(program, "0.weight", model) <= error
    assert restored_error(program, "2.weight", model) <= error


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("rank", [2, 3])
def test_onnx_runtime_multiplies_with_blocks(bits, symmetric, rank, tmp_path):
    x = randn(3, 64) if rank == 2 else randn(2, 3, 64)
    shapes = {"input": {0: Dim("batch", max=64)}}
    program = captured(net(), x, dynamic=shapes)
    quantized = run(program, QuantizeWeights(bits=bits, symmetric=symmetric), LayOutLinear())
    path = written(quantized, tmp_path)
    loaded = get_runtime("onnxruntime").load(path)
    assert [(v.kernel, v.fired) for v in loaded.kernels()] == [("MatMulNBits", True)] * 2
    (result,) = loaded.run(feeds(quantized, [x], quantized.signature.input_names)).values()
    expected = quantized(x)
    scale = float(expected.abs().max())
    assert float((torch.from_numpy(result) - expected).abs().max()) <= KERNEL_ROUNDING * scale


def test_four_bits_take_half_a_byte(tmp_path):
    quantized = run(captured(net(), randn(3, 64)), QuantizeWeights(), LayOutLinear())
    model = onnx.load(written(quantized, tmp_path))
    packed = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.UINT4]
    weights = [t for t in packed if "zero_point" not in t.name]
    assert sum(len(t.raw_data) for t in weights) == (64 * 96 + 96 * 32) // 2


def test_an_embedding_that_shares_the_weight_keeps_it():
    torch.manual_seed(0)
    model = Call(
        lambda m, ids: m.head(m.embed(ids)), embed=nn.Embedding(7, 32), head=nn.Linear(32, 7)
    )
    model.head.weight = model.embed.weight
    program = check_pass(QuantizeWeights(), model, (torch.tensor([[0, 3, 6]]),), rewrites=1)
    assert "embedding(@embed.weight" in program.text()


def test_the_last_block_of_a_row_may_be_short():
    weight = randn(8, 40)
    x = randn(3, 40)
    program = check_pass(QuantizeWeights(), seeded_linear(weight), (x,), rewrites=1)
    (blocks,) = [n for n in program.graph.nodes if n.target is DEQUANTIZE_BLOCKS]
    scale = program.weight(str(argument(blocks, "scale").target))
    assert scale.shape == (8, 2)
    rest = weight[:, 32:]
    steps = (rest.amax(1).clamp(min=0) - rest.amin(1).clamp(max=0)) / 15
    assert bool((scale[:, 1] <= steps * 1.001).all())


def seeded_linear(weight):
    model = nn.Sequential(nn.Linear(weight.shape[1], len(weight)))
    model[0].weight.data = weight
    return model


def test_declines():
    x, model = (randn(3, 40),), nn.Sequential(nn.Linear(40, 8))
    check_declines(
        QuantizeWeights(block=64), model, x, "its 40 inputs are fewer than a block of 64"
    )
    skip = QuantizeWeights(block=16, skip=("0",))
    check_declines(skip, nn.Sequential(nn.Linear(32, 8)), (randn(3, 32),), "left float on request")


@pytest.mark.parametrize("number", [0.0, 1.0], ids=["NaN", "infinite"])
def test_a_weight_that_is_no_number_stays(number):
    def forward(m, x):
        return nn.functional.linear(x, m.weight / m.divisor)

    weight, divisor = randn(8, 32), torch.ones(8, 32)
    weight[2, 3], divisor[2, 3] = number, 0.0
    model = Call(forward, weight=weight, divisor=divisor)
    reason = "its weight holds NaN or infinite values, which no scale represents"
    check_declines(QuantizeWeights(), model, (randn(3, 32),), reason)


def test_blocks_are_powers_of_two():
    with pytest.raises(UsageError, match="blocks of 24"):
        QuantizeWeights(block=24)


@pytest.mark.parametrize(("target", "blocked"), [("ort-weight-only", True), ("openvino", False)])
def test_a_short_block_is_left_to_targets_that_take_blocks(target, blocked):
    given = dataclasses.replace(context([]), target=PluginHost().find_target(target))
    program = run(
        captured(nn.Sequential(nn.Linear(40, 8)), randn(3, 40)), QuantizeWeights(), context=given
    )
    assert any(n.target is DEQUANTIZE_BLOCKS for n in program.graph.nodes) is blocked


def test_blocks_and_quantized_activations_go_together():
    program = captured(net(), randn(3, 64))
    passes = (QuantizeWeights(), InsertQuantizers(), Calibrate())
    quantized = run(program, *passes, context=context([(randn(3, 64),)]))
    calls = [n.target for n in quantized.graph.nodes]
    assert calls.count(DEQUANTIZE_BLOCKS) == calls.count(QUANTIZE) == 2
    error = (quantized(randn(3, 64)) - program(randn(3, 64))).norm()
    assert float(error) <= 0.1 * float(program(randn(3, 64)).norm())


def bits_of(program) -> dict[str, int]:
    calls = [n for n in program.graph.nodes if n.target is DEQUANTIZE_BLOCKS]
    return {str(n.args[0].target).partition(".weight")[0]: n.args[5] for n in calls}


def test_layers_have_bits_of_their_own():
    pass_ = QuantizeWeights(override=("op:linear=w8", "0=w4"))
    program = check_pass(pass_, net(), (randn(3, 64),), rewrites=2)
    assert bits_of(program) == {"0": 4, "2": 8}


def test_an_override_wins_over_skip():
    program = run(captured(net(), randn(3, 64)), QuantizeWeights(skip=("*",), override=("2=w8",)))
    assert bits_of(program) == {"2": 8}


def test_a_layer_is_left_float_by_an_override():
    reason = "left float on request"
    check_declines(QuantizeWeights(override=("*=float",)), net(), (randn(3, 64),), reason=reason)


@pytest.mark.parametrize("text", ["0=w4a8", "0=w6"])
def test_blocks_have_four_or_eight_bits(text):
    with pytest.raises(UsageError, match="blocks have 4 or 8 bits"):
        QuantizeWeights(override=(text,)).rules()
