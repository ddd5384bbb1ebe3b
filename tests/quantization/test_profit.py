"""What int8 makes slower stays float: by a table of costs, over the whole program at once."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rewrite_plugins.calibrate import Calibrate
from rewrite_plugins.calibrators.min_max import MinMax
from rewrite_plugins.insert_quantizers import InsertQuantizers
from torch import nn
from torch.export import Dim

from rewrite import Context, UsageError, capture
from rewrite.lowering.lower import lower, save
from rewrite.pipeline import run_passes
from rewrite.plugin_host import PluginHost
from rewrite.quantization.costs import CLASSES, CostTable, class_of, work_of
from rewrite.quantization.kinds import kind
from rewrite.quantization.placement import find_kernels
from rewrite.quantization.profit import unprofitable
from rewrite.runtimes import get_runtime
from rewrite.target import Target

HOST = PluginHost()
TARGET = HOST.find_target("ort-x64")
IMAGE = torch.randn(2, 8, 12, 12, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    """Dense, grouped, dense, with a skip."""

    def __init__(self, width=64, groups=16):
        super().__init__()
        self.first = nn.Conv2d(8, width, 7, padding=3)
        self.grouped = nn.Conv2d(width, width, 3, padding=1, groups=groups)
        self.last = nn.Conv2d(width, 8, 3, padding=1)

    def forward(self, x):
        x = x.relu()
        return self.last(self.grouped(self.first(x).relu()).relu()) + x


class Behind(nn.Module):
    """The block, and a linear layer, whose result is a float one."""

    def __init__(self):
        super().__init__()
        self.block, self.head = Block(), nn.Linear(12, 4)

    def forward(self, x):
        return self.head(self.block(x))


def program_of(module, x=IMAGE, dynamic=None):
    torch.manual_seed(0)
    return capture(module.eval(), (x,), dynamic)


def marked(pass_, program):
    twin = program.clone()
    outcome = pass_.run(twin, Context(target=TARGET))
    return twin, {r.node: r.reason for r in outcome.rejected}


def test_a_narrow_grouped_convolution_stays_float_and_says_why():
    _, rejected = marked(InsertQuantizers(), program_of(Behind()))
    assert rejected == {
        "conv2d_1": "int8 would not make it faster: about 143 µs and the conversions around it, "
        "against 39 µs in float"
    }


def test_sizes_that_are_dynamic_are_those_of_the_example():
    dynamic = {"x": {0: Dim("batch", min=1, max=64)}}
    _, rejected = marked(InsertQuantizers(), program_of(Block(), dynamic=dynamic))
    assert "about 143 µs" in rejected["conv2d_1"]


@pytest.mark.parametrize(
    "pass_",
    [
        InsertQuantizers(profit=False),
        InsertQuantizers(override=("grouped=w8a8",)),
        InsertQuantizers(bits="w8a8"),
    ],
)
def test_it_is_quantized_where_that_is_asked_for(pass_):
    assert marked(pass_, program_of(Block()))[1] == {}


@pytest.mark.parametrize("module", [Block(groups=1), Block(groups=64), Block(groups=2)])
def test_what_the_table_does_not_list_is_quantized(module):
    assert marked(InsertQuantizers(), program_of(module))[1] == {}


def test_a_target_without_a_table_quantizes_everything():
    portable = HOST.find_target("portable")
    program = program_of(Block())
    kernels = find_kernels(program, portable)
    assert unprofitable(program, portable, kernels, kernels) == {}


def test_the_file_runs_it_in_float(tmp_path):
    context = Context(target=TARGET, calibrators={"min-max": MinMax})
    passes = (InsertQuantizers(), Calibrate())
    program = run_passes(program_of(Behind()), passes, context).program
    path = tmp_path / "block.onnx"
    save(lower(program, 20, {}, {}, TARGET.avoids).model, path)
    loaded = get_runtime("onnxruntime").load(path, threads=1)
    kernels = [verdict.kernel for verdict in loaded.kernels()]
    assert kernels[0] == kernels[2] == "QLinearConv"
    assert kernels[1] in ("Conv", "FusedConv")
    (result,) = loaded.run({"x": IMAGE.numpy()}).values()
    torch.testing.assert_close(torch.from_numpy(result), program(IMAGE), rtol=1e-4, atol=1e-4)


def test_classes_and_work():
    convs = {
        "conv": nn.Conv2d(8, 4, 3),
        "depthwise-conv": nn.Conv2d(8, 8, 3, groups=8),
        "grouped-conv": nn.Conv2d(8, 16, 3, groups=2),
    }
    for name, conv in convs.items():
        program = program_of(nn.Sequential(conv))
        node = next(n for n in program.graph.nodes if kind(n) == "conv")
        work = work_of(node)
        outputs = 2 * conv.out_channels * 100
        assert class_of(node) == name
        assert work.outputs == outputs
        assert work.multiply_adds == outputs * 9 * 8 // conv.groups
        assert work.windows == 200 * conv.groups
    volume = program_of(nn.Sequential(nn.Conv3d(8, 8, 1)), IMAGE[..., None])
    assert {class_of(n) for n in volume.graph.nodes if kind(n) == "conv"} == {"conv-3d"}


TABLE = """
name = "table"
extends = "ort-x64"

[cost]
call = {call}
quantize = {quantize}
dequantize = {dequantize}
relayout = {relayout}
saving = 0
exact-output = 0

[cost.add]
float = [{float}]
int8 = [20]
[cost.conv]
float = [{float}]
int8 = [10]
[cost.grouped-conv]
float = [10, 0]
int8 = [5, 0, {windows}]
"""


@settings(max_examples=30, deadline=None)
@given(
    call=st.floats(0, 3),
    quantize=st.floats(0, 3000),
    dequantize=st.floats(0, 3000),
    rate=st.floats(1, 40),
    relayout=st.floats(0, 3000),
    windows=st.floats(0, 20000),
)
def test_no_assignment_is_cheaper(call, quantize, dequantize, rate, relayout, windows):
    text = TABLE.format(
        call=call,
        quantize=quantize,
        dequantize=dequantize,
        relayout=relayout,
        float=rate,
        windows=windows,
    )
    target = Target.parse(text, "test").resolved(HOST.targets())
    program = program_of(nn.Sequential(Block(groups=4), nn.ReLU(), nn.Conv2d(8, 8, 3)))
    kernels = find_kernels(program, target)
    left = unprofitable(program, target, kernels, kernels)
    costs = [total(program, target, kernels, set(found)) for found in subsets(kernels)]
    chosen = total(program, target, kernels, set(left))
    assert chosen == pytest.approx(min(costs), rel=1e-9, abs=1e-9)


BEFORE = {"conv2d_1": "conv2d", "conv2d_2": "conv2d_1", "conv2d_3": "conv2d_2"}
"""Which convolution the input of each comes from."""


@pytest.mark.parametrize(
    ("share", "reason"),
    [
        (0.0, None),
        (1e-9, None),
        (2.0, "int8 would round an output, and save less than 200 % of all kernels' time"),
    ],
)
def test_an_output_is_not_rounded_for_a_little_time(share, reason):
    costs = dataclasses.replace(TARGET.costs, exact_output=share, saving=0.0)
    target = dataclasses.replace(TARGET, costs=costs)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(8, 64, 7), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.Sigmoid())
    program = program_of(net)
    kernels = find_kernels(program, target)
    left = {n.name: reason for n, reason in unprofitable(program, target, kernels, kernels).items()}
    assert left.get("conv2d_1") == reason
    assert "conv2d" not in left


def test_a_little_faster_is_not_worth_a_larger_file():
    program = program_of(Behind())
    for saving, left in ((0, ["conv2d_1"]), (1e6, [])):
        costs = dataclasses.replace(TARGET.costs, saving=saving, relayout=0.0)
        target = dataclasses.replace(TARGET, costs=costs)
        kernels = find_kernels(program, target)
        found = unprofitable(program, target, kernels, kernels)
        assert [n.name for n in found if n in kernels] == left


def subsets(nodes):
    return itertools.chain.from_iterable(
        itertools.combinations(nodes, n) for n in range(len(nodes) + 1)
    )


def total(program, target, kernels, left):
    """Return what the cheapest program costs in which these kernels and carriers are float."""
    calls = [n for n in program.graph.nodes if n.op == "call_function"]
    carriers = [n for n in calls if n not in kernels and kind(n) in ("relu", "add")]
    return min(
        priced(program, target, kernels, left, set(stored))
        for stored in subsets(carriers)
        if left.isdisjoint(stored) and allowed(stored, kernels, left)
    )


def allowed(stored, kernels, left):
    """A carrier holds integers only if all that it reads are integers."""
    integers = {*stored, *(k for k in kernels if k not in left)}
    return all(s in integers for n in stored for s in n.all_input_nodes)


def priced(program, target, kernels, left, stored):
    table, cost = target.costs, 0.0
    for node in kernels:
        in_float, in_int8 = table.of(node)
        cost += in_float if node in left else 0.8 * in_int8
        before = BEFORE.get(node.name)
        if before and (node in left) != (before in {k.name for k in left}):
            cost += table.relayout * node.all_input_nodes[0].meta["val"].numel() / 1e6
    for node in program.graph.nodes:
        if kind(node) == "add":
            cost += table.of(node)[node in stored]
    integers = {*stored, *(k for k in kernels if k not in left)}
    for node in program.graph.nodes:
        if node.op not in ("call_function", "placeholder"):
            continue
        count = node.meta["val"].numel() / 1e6
        if node not in integers and any(u in kernels and u not in left for u in node.users):
            cost += table.quantize * count
        if node in integers and any(u not in integers for u in node.users):
            cost += table.dequantize * count
    return cost


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"convs": {}}, r"unknown key of \[cost\] 'convs'"),
        ({"conv": {"float": [1]}}, r"\[cost.conv\] gives what it costs in float and in int8"),
        ({"conv": {"float": [1], "int8": [-1]}}, "conv.int8 of .cost. is -1, not a number"),
        ({"call": "fast"}, "call of .cost. is 'fast', not a number"),
    ],
)
def test_tables_that_make_no_sense_are_refused(data, message):
    with pytest.raises(UsageError, match=message):
        CostTable.from_data(data, "mine.toml")


def test_every_class_of_a_table_is_known():
    assert set(TARGET.costs.kernels) <= set(CLASSES)
