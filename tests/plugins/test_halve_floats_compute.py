"""Computing in float16: what does, what stays float32 and why, and that runtimes agree."""

import math

import onnx
import pytest
import torch
from onnx import TensorProto
from rewrite_plugins.calibrate import Calibrate
from rewrite_plugins.expand_attention import ExpandAttention
from rewrite_plugins.halve_floats import HalveFloats
from rewrite_plugins.insert_quantizers import InsertQuantizers
from torch import nn

from rewrite import CheckError, Context, UsageError
from rewrite.half import compute
from rewrite.lint import lint
from rewrite.lowering.lower import lower
from rewrite.output_agreement import LOWEST_HALF_SQNR, LOWEST_QUANTIZED_SQNR
from rewrite.quantization.markers import DEQUANTIZE, QUANTIZE
from rewrite.testing import check_declines, check_pass

from .models import GOLDEN, Call, captured, context, outcome, randn, run, target
from .test_halve_floats import IDS, IMAGES, RUNTIMES, agreed, decoder, lowered, net, written

aten = torch.ops.aten
HALF = HalveFloats(form="compute")


def block() -> nn.Module:
    """Return attention with a mask that is made at run time, and a norm."""
    torch.manual_seed(0)
    layers = {name: nn.Linear(16, 16) for name in ("query", "key", "value", "out")}

    def forward(m, x, hidden):
        q, k, v = (m.get_submodule(n)(x) for n in ("query", "key", "value"))
        mask = torch.where(hidden[:, None, :], torch.finfo(torch.float32).min, 0.0)
        scores = (q @ k.transpose(1, 2) / 4 + mask).softmax(-1)
        return m.norm(x + m.out(scores @ v))

    return Call(forward, norm=nn.LayerNorm(16), **layers)


TOKENS = (randn(2, 5, 16), torch.arange(5)[None] > torch.tensor([[2], [4]]))


def images() -> nn.Module:
    torch.manual_seed(0)
    up = nn.ConvTranspose2d(8, 16, 2, 2)

    def forward(m, x):
        x = nn.functional.pad(m.conv(x), (1, 1))
        x = m.shuffle(nn.functional.relu6(m.pool(x)) * 2).clamp(-1, 3).clamp(max=2).clamp_min(-0.5)
        x = torch.maximum(m.up(nn.functional.hardtanh(-x)), m.bias).minimum(m.bias + 1).abs()
        x = nn.functional.hardswish(x) + nn.functional.hardsigmoid(x)
        return nn.functional.leaky_relu(x)[:, :, 1:].select(3, 0).unsqueeze(1)

    return Call(
        forward, conv=nn.Conv2d(3, 32, 3, padding=1), pool=nn.MaxPool2d(2),
        shuffle=nn.PixelShuffle(2), up=up, bias=torch.randn(1, 16, 1, 1),
    )  # fmt: skip


def series(dims: int) -> nn.Module:
    torch.manual_seed(0)
    conv = (nn.Conv1d, nn.Conv3d)[dims == 3](2, 4, 3, padding=1)
    up = (nn.ConvTranspose1d, nn.ConvTranspose3d)[dims == 3](4, 2, 2, 2)
    pool = (nn.MaxPool1d, nn.MaxPool3d)[dims == 3](2)
    return nn.Sequential(conv, nn.Tanh(), pool, up, nn.SiLU())


def sums() -> nn.Module:
    torch.manual_seed(0)

    def forward(m, ids, x):
        y = torch.cat([m.embed(ids), m.fc(x)], 1) - 0.5
        y = nn.functional.gelu(y).transpose(1, 2).expand(2, 8, 6).sigmoid()
        return torch.bmm(y, y.permute(0, 2, 1)).flatten(1).relu()

    return Call(forward, embed=nn.Embedding(50, 8), fc=nn.Linear(4, 8))


MODELS = {
    "images": (images, (randn(1, 3, 8, 8),)),
    "series": (lambda: series(1), (randn(1, 2, 8),)),
    "volumes": (lambda: series(3), (randn(1, 2, 4, 4, 4),)),
    "sums": (sums, (IDS, randn(1, 3, 4))),
    "attention": (block, TOKENS),
    "decoder": (decoder, (IDS,)),
}


def halved(name):
    make, inputs = MODELS[name]
    return check_pass(HALF, run(captured(make(), *inputs), ExpandAttention()))


def float16_calls(program) -> set:
    return {
        n.target
        for n in program.graph.nodes
        if n.op == "call_function" and n.meta["val"].dtype == torch.float16
    } - {aten._to_copy.default}


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", MODELS)
def test_runtimes_compute_what_the_program_does(name, runtime, tmp_path):
    program = halved(name)
    path = written(program, tmp_path)
    graph = onnx.load(path).graph
    kinds = [v.type.tensor_type.elem_type for v in (*graph.input, *graph.output)]
    assert TensorProto.FLOAT16 not in kinds
    assert agreed(program, path, runtime) >= LOWEST_HALF_SQNR


def test_every_operator_of_the_tables_was_run():
    ran = set().union(*(float16_calls(halved(name)) for name in MODELS))
    assert ran == compute._GAINS | compute._FOLLOWS


def test_norms_and_softmax_stay_float32_between_casts():
    program = run(captured(block(), *TOKENS), ExpandAttention())
    check_pass(HALF, program, rewrites=8, golden=GOLDEN / "halve-floats-compute.txt")


def weighted(function, weight: float = 1.1) -> nn.Module:
    """Return a product, and what is done with it."""
    layer = nn.Linear(4, 4, bias=False)
    nn.init.constant_(layer.weight, weight)
    return Call(lambda m, x: function(m.fc(x)), fc=layer)


@pytest.mark.parametrize(
    ("function", "x", "reason"),
    [
        (lambda y: y, 1.5e4, "its result reaches 6.6e+04: float16 ends at 65504, and room is left"),
        (lambda y: y, 7e4, "'inputs_0', which it reads, reaches 7e+04"),
        (lambda y: y, 1e-6, "'inputs_0', which it reads, stays below 1e-06, where float16 loses"),
        (lambda y: y, math.inf, "'inputs_0', which it reads, holds infinite values or NaN"),
        (lambda y: y, math.nan, "'inputs_0', which it reads, holds infinite values or NaN"),
    ],
)
def test_declines_values_out_of_range(function, x, reason):
    check_declines(HALF, weighted(function), (torch.full((2, 4), x),), reason)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda y: y * 7e4, "its other is 70000, which float16 does not hold"),
        (lambda y: y + 1e-6, "its other is 1e-06, which float16 does not hold"),
        (lambda y: y.softmax(-1), "float16 loses in norms, softmax, sums, quotients and powers"),
        (lambda y: y.sin(), "float16 is not known to be enough for it"),
    ],
)
def test_keeps_one_call_and_says_why(function, reason):
    program = captured(weighted(function), randn(2, 4))
    found = outcome(program, HALF)
    assert found.rewrites == 1
    assert [r.reason for r in found.rejected] == [reason]


def test_calls_with_several_results_read_float32():
    model = weighted(lambda y: torch.mul(*y.relu().split([2, 2], -1)))
    program = check_pass(HALF, model, (randn(2, 4),), rewrites=2)
    part = next(n for n in program.graph.nodes if n.target is aten.split_with_sizes.default)
    assert part.args[0].meta["val"].dtype == torch.float32


def test_weights_that_do_not_fit_keep_their_layer():
    reason = "weight 'fc.weight' reaches 7e+04: float16 ends at 65504"
    check_declines(HALF, weighted(lambda y: y, 7e4), (randn(2, 4) * 1e-3,), reason)


def test_headroom_and_batches_decide():
    program = captured(weighted(lambda y: y), randn(2, 4))
    data = [(randn(2, 4),), (torch.full((2, 4), 1e4),)]
    given = context(data)
    assert outcome(program, HALF, given).rewrites == 0
    assert outcome(program, HalveFloats(form="compute", headroom=1), given).rewrites == 1
    found = outcome(program, HalveFloats(form="compute", batches=1), given)
    assert found.rewrites == found.measures["batches"] == 1
    assert found.measures["sqnr_db"] >= LOWEST_HALF_SQNR


def test_it_says_when_the_example_stands_in_for_data():
    found = outcome(captured(net(), IMAGES), HALF)
    assert "no calibration(): the range of the example inputs was taken" in found.notes


def test_no_batches_and_wrong_batches():
    program = captured(net(), IMAGES)
    with pytest.raises(UsageError, match="gave no inputs"):
        run(program, HALF, context=context([]))
    with pytest.raises(UsageError, match="calibration batch 1: 'input' has shape"):
        run(program, HALF, context=context([(randn(2, 3, 5, 5),)]))


def test_an_overflow_that_only_rounding_brings_is_an_error():
    # In float32 the product is 65503.7; both factors are rounded up, to 65536.
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 1.0005)
    program = captured(nn.Sequential(layer), torch.full((1, 1), 65471.0))
    with pytest.raises(CheckError, match="in float16 an output is infinite or NaN"):
        run(program, HalveFloats(form="compute", headroom=1))


def test_keep():
    program = check_pass(HalveFloats(form="compute", keep=("3",)), net(), (IMAGES,))
    assert "@3.weight," in program.text()
    assert "@0.weight_f16" in program.text()


def test_a_tied_table_is_one_weight_in_both_forms():
    program = run(captured(decoder(), IDS), HALF)
    names = {name for name, weight in program.used_weights() if weight.dtype == torch.float16}
    assert names == {"embed.weight_f16"}


def quantized(name: str):
    """Return int8 layers under a target, and what the pass made of the rest."""
    given = context([(IMAGES,)], name)
    program = run(captured(net(), IMAGES), InsertQuantizers(), Calibrate(), context=given)
    return program, run(program, HALF, context=given)


def test_quantized_layers_stay_where_scales_must_be_float32():
    program, after = quantized("portable")
    assert not float16_calls(after)
    reasons = {r.reason for r in outcome(program, HALF, context([(IMAGES,)])).rejected}
    assert "it is quantized, and its scales stay float32" in reasons


def wide() -> nn.Module:
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 1)
    return nn.Sequential(first, nn.ReLU(), second, nn.Flatten(), nn.Linear(256, 16))


def typed(tmp_path):
    """Return what is written for TensorRT, and the program."""
    given = context([(IMAGES,)], "tensorrt")
    passes = (InsertQuantizers(), Calibrate(), HalveFloats())
    program = run(captured(wide(), IMAGES), *passes, context=given)
    return program, written(program, tmp_path)


def test_scales_are_float16_where_the_target_computes_so(tmp_path):
    program, path = typed(tmp_path)
    markers = [n for n in program.graph.nodes if n.target in (QUANTIZE, DEQUANTIZE)]
    scales = {program.weight(str(n.args[1].target)).dtype for n in markers}
    assert markers and scales == {torch.float16}
    assert agreed(program, path, "openvino") >= LOWEST_QUANTIZED_SQNR
    rules = ("half-scales", "positive-scales", "float-bias", "bit-widths", "zero-point-zero")
    plain = target("tensorrt")
    assert set(rules) <= set(plain.rules)
    assert lint(path, plain) == []


def test_float16_scales_need_opset_19(tmp_path):
    program, _ = typed(tmp_path)
    with pytest.raises(CheckError, match="float16 scales need opset 19"):
        lower(program, 18, {}, {})


def test_tensorrt_computes_and_portable_stores():
    program = captured(net(), IMAGES)
    computed = run(program, HalveFloats(), context=Context(target=target("tensorrt")))
    stored = run(program, HalveFloats(), context=Context(target=target()))
    assert lowered(computed).computes_half
    assert not lowered(stored).computes_half
    found = outcome(program, HALF, Context(target=target()))
    assert "the target has no float16 kernels: it gets smaller, not faster" in found.notes
