"""Float16 weights: what is stored so, what stays float32 and why, and that runtimes read it."""

import onnx
import pytest
import torch
from lowering.models import agreement
from onnx import TensorProto
from rewrite_plugins.calibrate import Calibrate
from rewrite_plugins.expand_attention import ExpandAttention
from rewrite_plugins.halve_floats import HalveFloats
from rewrite_plugins.insert_quantizers import InsertQuantizers
from rewrite_plugins.lay_out_linear import LayOutLinear
from rewrite_plugins.lowerings import LOWERINGS
from torch import nn
from torch.export import Dim

from rewrite import Context
from rewrite.equivalence import difference
from rewrite.lowering.lower import lower, save
from rewrite.output_agreement import LOWEST_FLOAT_SQNR, LOWEST_HALF_SQNR
from rewrite.runtimes import get_runtime
from rewrite.testing import check_declines, check_pass

from .models import GOLDEN, Call, captured, context, outcome, randn, run, target

OPSET = 20
RUNTIMES = ("onnxruntime", "openvino")
STORED = HalveFloats(form="storage", least=0)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10)).eval()


def decoder() -> nn.Module:
    """Return an embedding whose weight is the head's too."""
    torch.manual_seed(0)
    model = Call(
        lambda m, ids: m.head(m.norm(m.embed(ids))),
        embed=nn.Embedding(50, 32),
        norm=nn.LayerNorm(32),
        head=nn.Linear(32, 50, bias=False),
    )
    model.head.weight = model.embed.weight
    return model


IMAGES = randn(2, 3, 6, 6)
IDS = torch.tensor([[0, 3, 49]])


def lowered(program):
    return lower(program, OPSET, {entry.overload: entry.translate for entry in LOWERINGS}, {})


def written(program, folder):
    save(lowered(program).model, folder / "model.onnx")
    return folder / "model.onnx"


def agreed(program, path, runtime, *batches):
    loaded = get_runtime(runtime).load(path)
    inputs = [((b,), {}) for b in batches] or [program.example]
    return agreement(program, loaded, inputs).difference.sqnr_db


def types(path) -> dict[str, int]:
    """Return the element type of every weight in a file."""
    return {t.name: t.data_type for t in onnx.load(path).graph.initializer}


def test_weights_are_stored_and_cast():
    check_pass(STORED, net(), (IMAGES,), rewrites=4, golden=GOLDEN / "halve-floats-storage.txt")


def test_small_weights_stay():
    program = check_pass(HalveFloats(), net(), (IMAGES,), rewrites=1)
    assert "@3.weight_f16" in program.text()
    assert "@0.weight," in program.text()


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("form", ["gemm", "matmul"])
def test_half_the_file_and_the_numbers_of_the_program(form, runtime, tmp_path):
    shapes = {"input": {0: Dim("batch", max=64)}}
    model = nn.Sequential(nn.Linear(64, 512), nn.GELU(), nn.Linear(512, 64))
    program = captured(model, randn(4, 5, 64), dynamic=shapes)
    halved = run(program, HalveFloats(), LayOutLinear(form=form))
    size = written(run(program, LayOutLinear(form=form)), tmp_path).stat().st_size
    path = written(halved, tmp_path)
    assert path.stat().st_size <= 0.53 * size
    assert agreed(halved, path, runtime, randn(2, 5, 64), randn(7, 5, 64)) >= 100
    expected, found = program(randn(4, 5, 64)), halved(randn(4, 5, 64))
    assert difference([(expected, found)]).sqnr_db >= LOWEST_FLOAT_SQNR


def test_rows_of_an_embedding_are_cast_and_ties_stay(tmp_path):
    program = check_pass(STORED, decoder(), (IDS,), rewrites=3)
    assert "embedding(@embed.weight_f16" in program.text()
    # Small casts are folded when the file is written.
    kinds = types(written(program, tmp_path))
    assert [n for n, kind in kinds.items() if kind == TensorProto.FLOAT16] == ["embed.weight_f16"]


def test_infinities_of_a_mask_are_float16_too():
    mask = torch.zeros(4, 4).masked_fill(torch.ones(4, 4).triu(1).bool(), float("-inf"))
    model = Call(lambda m, x: (x + m.mask).softmax(-1), mask=mask)
    program = check_pass(STORED, model, (randn(4, 4),), rewrites=1)
    assert torch.equal(program(randn(4, 4)), model(randn(4, 4)))


def filled(value: float, share: float = 1.0) -> nn.Module:
    model = nn.Linear(10, 10, bias=False)
    with torch.no_grad():
        model.weight.fill_(1.1)
        model.weight.view(-1)[: int(100 * share)] = value
    return nn.Sequential(model)


@pytest.mark.parametrize(
    ("pass_", "model", "reason"),
    [
        (STORED, filled(7e4), "weight '0.weight' reaches 7e+04: float16 ends at 65504"),
        (STORED, filled(1e-5, 0.2), "20.0 % of weight '0.weight' are below 6.1e-05"),
        (HalveFloats(least=0, keep=("0",)), filled(1.1), "left float32 on request"),
        (HalveFloats(), filled(1.1), "no float32 weight that is worth a cast"),
    ],
)
def test_declines(pass_, model, reason):
    check_declines(pass_, model, (randn(2, 10),), reason)


def test_small_numbers_that_are_few_enough_and_zeros_are_stored():
    check_pass(STORED, filled(1e-5, 0.05), (randn(2, 10),), rewrites=1)
    check_pass(STORED, filled(0.0, 0.9), (randn(2, 10),), rewrites=1)
    pass_ = HalveFloats(least=0, small=25)
    check_pass(pass_, filled(1e-5, 0.2), (randn(2, 10),), rewrites=1)


def test_a_target_that_takes_none():
    plain = target(**{"opset = 20\n": 'opset = 20\nfloat16 = "none"\n'})
    reason = "target 'portable' takes no float16"
    check_declines(STORED, net(), (IMAGES,), reason, target=plain)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_int8_layers_stay_and_the_rest_is_stored(runtime, tmp_path):
    data = context([(IDS,)])
    program = captured(decoder(), IDS)
    passes = (ExpandAttention(), InsertQuantizers(), Calibrate())
    quantized = run(program, *passes, context=data)
    halved = run(quantized, STORED, LayOutLinear(), context=data)
    path = written(halved, tmp_path)
    kinds = types(path)
    assert kinds["embed.weight_f16"] == TensorProto.FLOAT16
    assert {k for n, k in kinds.items() if "scale" in n} == {TensorProto.FLOAT}
    loaded = get_runtime(runtime).load(path)
    loaded.run({halved.signature.input_names[0]: IDS.numpy()})
    assert [v.fired for v in loaded.kernels() if v.eligible] == [True]
    assert agreed(halved, path, runtime, IDS) >= LOWEST_FLOAT_SQNR


def test_it_needs_no_target_and_no_data():
    assert outcome(captured(net(), IMAGES), STORED, Context()).rewrites == 4


def test_storage_does_not_count_as_computing():
    assert not lowered(run(captured(decoder(), IDS), STORED)).computes_half
    assert lowered(run(captured(decoder(), IDS), HalveFloats(form="compute"))).computes_half
    assert LOWEST_HALF_SQNR < LOWEST_FLOAT_SQNR


def test_it_tells_what_it_costs():
    rounded = outcome(captured(net(), IMAGES), STORED)
    assert rounded.measures["sqnr_db"] >= LOWEST_FLOAT_SQNR
    assert rounded.notes == [f"the outputs agree to {rounded.measures['sqnr_db']:.1f} dB"]
    same = outcome(captured(filled(2.0, 1.0), randn(2, 10)), STORED)
    assert (same.measures["sqnr_db"], same.notes) == (None, ["the outputs are the same"])
