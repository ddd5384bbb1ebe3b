from __future__ import annotations

import dataclasses

import pytest
import torch
from rewrite_plugins.calibrate import Calibrate
from rewrite_plugins.expand_attention import ExpandAttention
from rewrite_plugins.insert_quantizers import InsertQuantizers
from torch import nn
from torch.nn import functional

from rewrite import UsageError
from rewrite.pipeline import run_passes
from rewrite.schema import arguments
from rewrite.testing import check_declines, check_pass

from .models import GOLDEN, Call, captured, context, lines, outcome, randn, run, target

INSERT = InsertQuantizers()
X = randn(1, 3, 6, 6)


def conv(inside: int = 3, outside: int = 3, size: int = 1, **options) -> nn.Module:
    return nn.Conv2d(inside, outside, size, **options)


class Residual(nn.Module):
    """A stem with a pool, a residual block with a projection, a head behind a global pool."""

    def __init__(self):
        super().__init__()
        self.stem, self.pool = conv(3, 4, 3, padding=1), nn.MaxPool2d(2)
        self.first, self.second = conv(4, 4, 3, padding=1), conv(4, 4, 3, padding=1)
        self.project, self.head = conv(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        x = self.pool(self.stem(x).relu())
        y = self.second(self.first(x).relu())
        return self.head((y + self.project(x)).relu().mean((2, 3)))


class Block(nn.Module):
    """A pre-norm transformer block with one head."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.LayerNorm(4), nn.LayerNorm(4)
        self.q, self.k, self.v, self.o = (nn.Linear(4, 4) for _ in range(4))
        self.up, self.down = nn.Linear(4, 8), nn.Linear(8, 4)

    def forward(self, x):
        y = self.one(x)
        y = functional.scaled_dot_product_attention(self.q(y), self.k(y), self.v(y))
        x = x + self.o(y)
        return x + self.down(functional.gelu(self.up(self.two(x))))


MODELS = {
    "residual": lambda: Residual(),
    "conv-output": lambda: conv(),
    "relu6": lambda: nn.Sequential(conv(), nn.ReLU6()),
    "depthwise": lambda: nn.Sequential(
        conv(), nn.ReLU6(), conv(3, 3, 3, groups=3), nn.ReLU6(), conv()
    ),
    "silu-hardswish": lambda: nn.Sequential(conv(), nn.SiLU(), conv(), nn.Hardswish(), conv()),
    "average-pool": lambda: nn.Sequential(conv(), nn.AvgPool2d(2), conv()),
    "concat": lambda: Call(
        lambda m, x: m.c(torch.cat([m.a(x), m.b(x).relu()], 1)), a=conv(), b=conv(), c=conv(6, 2)
    ),
    "shared-layer": lambda: Call(lambda m, x: m.a(m.a(x).relu()), a=conv()),
    "two-readers": lambda: Call(lambda m, x: (m.a(x), m.a(x).relu()), a=conv()),
}


@pytest.mark.parametrize("name", MODELS)
def test_placement(name):
    golden = GOLDEN / f"insert-quantizers-{name}.txt"
    check_pass(INSERT, MODELS[name](), (X,), golden=golden, context=context())


@pytest.mark.parametrize("name", ["portable", "ort-x64", "openvino"])
def test_placement_in_a_transformer_block(name):
    program = run(captured(Block(), randn(2, 3, 4)), ExpandAttention())
    golden = GOLDEN / f"insert-quantizers-block-{name}.txt"
    check_pass(INSERT, program, golden=golden, context=context(name=name))


def marks(program) -> list[str]:
    """Return the groups that are marked."""
    return [line.split("group='")[1].split("'")[0] for line in lines(program) if "observe" in line]


def test_marks_change_no_value():
    program = captured(Residual(), X)
    marked = run(program, INSERT, context=context())
    assert torch.equal(marked(X), program(X))


@pytest.mark.parametrize(
    ("skip", "left"),
    [
        (("stem",), "stem.weight"),
        (("*.weight",), "weight"),
        (("head.w*",), "head.weight"),
        (("linear",), "head.weight"),
        (("first", "sec*"), "first.weight"),
    ],
)
def test_what_is_skipped_stays_float_and_says_so(skip, left):
    found = run_passes(captured(Residual(), X), [InsertQuantizers(skip=skip)], context())
    assert not [group for group in marks(found.program) if group.endswith(left)]
    reasons = {r.reason for r in found.reports[0].outcome.rejected}
    assert reasons == {"left float on request"}


@pytest.mark.parametrize("number", [0.0, 1.0], ids=["NaN", "infinite"])
@pytest.mark.parametrize("part", ["weight", "bias"])
@pytest.mark.parametrize("name", ["portable", "academic"])
def test_a_layer_that_holds_no_numbers_stays_float(number, part, name):
    def forward(m, x):
        parts = {"weight": m.layer.weight, "bias": m.layer.bias}
        return functional.linear(x, **{**parts, part: parts[part] / m.divisor})

    layer = nn.Linear(6, 4)
    divisor = torch.ones_like(getattr(layer, part))
    with torch.no_grad():
        getattr(layer, part).view(-1)[1], divisor.view(-1)[1] = number, 0.0
    program = captured(Call(forward, layer=layer, divisor=divisor), randn(3, 6))
    reason = f"its {part} holds NaN or infinite values, which no scale represents"
    check_declines(INSERT, program, reason=reason, context=context(name=name))


@pytest.mark.parametrize(("inside", "outside"), [(0, 4), (6, 0)])
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_layer_without_elements_stays_float(inside, outside):
    part = "input" if inside == 0 else "weight"
    model, x = nn.Linear(inside, outside), randn(3, inside)
    program = captured(model, x)
    check_declines(INSERT, program, reason=f"its {part} has no elements", context=context())


def test_skipping_what_is_not_there_skips_nothing():
    program = captured(Residual(), X)
    skipped = run(program, InsertQuantizers(skip=("none*",)), context=context())
    assert skipped.text() == run(program, INSERT, context=context()).text()


def test_a_kernel_without_a_rule_says_so():
    found = outcome(captured(nn.ConvTranspose2d(3, 4, 2), X), INSERT, context())
    assert [r.reason for r in found.rejected] == ["target 'portable' has no rule for it"]
    assert found.notes == ["target 'portable' quantizes nothing here"]


def test_a_computed_weight_says_so():
    model = Call(lambda m, x, w: functional.conv2d(x, w * 2))
    reason = "its weight is computed at run time, so it has no fixed scale per channel"
    check_declines(INSERT, model, (X, randn(2, 3, 1, 1)), reason, context=context())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_floats_say_so(dtype):
    reason = f"its input is {dtype}, not float32"
    check_declines(INSERT, conv().to(dtype), (X.to(dtype),), reason, context=context())


def test_a_product_with_a_vector_says_so():
    model = Call(lambda m, x, v: x @ v)
    reason = "its other is a vector"
    check_declines(INSERT, model, (randn(3, 4), randn(4)), reason, context=context())


@pytest.mark.parametrize("scale", [None, 0.5], ids=["weight", "computed"])
def test_a_product_of_a_constant_with_an_input_says_so(scale):
    query = nn.Parameter(randn(2, 5, 4))
    model = Call(lambda m, x: (m.query if scale is None else m.query * scale) @ x)
    model.register_parameter("query", query)
    reason = "its first factor is constant, which int8 kernels take second"
    check_declines(INSERT, model, (randn(2, 4, 3),), reason, context=context())


def test_a_sum_with_a_float_is_left_alone():
    program = run(
        captured(Call(lambda m, x: m.b(m.a(x) + 1.0), a=conv(), b=conv()), X),
        INSERT,
        context=context(),
    )
    assert "add.activation" in marks(program) and "add" not in marks(program)


def test_a_program_is_marked_once():
    program = run(captured(Residual(), X), INSERT, context=context())
    check_declines(INSERT, program, reason="the program is marked already", context=context())


def test_a_quantized_program_is_not_quantized_again():
    settings = context([(randn(2, 3, 4), randn(2, 4, 3))])
    program = captured(Call(lambda m, x, y: x @ y), randn(2, 3, 4), randn(2, 4, 3))
    program = run(program, INSERT, Calibrate(), context=settings)
    check_declines(INSERT, program, reason="quantizes nothing here", context=settings)


def test_a_target_is_needed():
    with pytest.raises(UsageError, match="insert-quantizers needs a target"):
        run(captured(conv(), X), INSERT)


def test_a_target_without_outputs_marks_inputs_only():
    settings = context()
    settings = dataclasses.replace(
        settings,
        target=target(
            "portable",
            **{'weight = "weight" }\noutput = "activation"': 'weight = "weight" }'},
        ),
    )
    program = run(captured(nn.Sequential(conv(), nn.ReLU()), X), INSERT, context=settings)
    assert marks(program) == ["input_1.activation", "0.weight"]


FUSED = {
    "behind what the kernel computes": (
        lambda m, x: m.last(functional.silu(m.first(x))),
        ["inputs_0.activation", "silu", "conv2d_1"],
    ),
    "none where nothing reads integers": (
        lambda m, x: m.last(x) + functional.silu(m.first(x)),
        ["inputs_0.activation", "conv2d"],
    ),
    "in front where the layer has another reader": (
        lambda m, x: m.last(functional.silu(y := m.first(x)) + y),
        ["inputs_0.activation", "conv2d", "add.activation", "conv2d_1"],
    ),
    "behind an addition": (
        lambda m, x: m.last(functional.silu(m.first(x) + m.first(2 * x))),
        ["inputs_0.activation", "conv2d", "mul.activation", "conv2d_1", "silu", "conv2d_2"],
    ),
}


@pytest.mark.parametrize("case", FUSED)
def test_where_the_kernel_computes_an_activation(case):
    function, expected = FUSED[case]
    fusing = dataclasses.replace(target(), fuses=("silu",))
    model = Call(function, first=conv(), last=conv())
    found = marks(check_pass(INSERT, model, (X,), target=fusing))
    assert [name for name in found if not name.endswith("weight")] == expected


def test_probabilities_are_unsigned_as_the_first_factor_only():
    model = Call(lambda m, x: (x.softmax(-1) @ x, x @ x.softmax(-1)))
    marked = run(captured(model, randn(2, 3, 3)), InsertQuantizers(), context=context())
    specs = {}
    for node in marked.graph.nodes:
        if node.target is torch.ops.aten.matmul.default:
            specs[node.name] = [str(arguments(source)["spec"]) for source in node.args]
    assert specs == {"matmul": ["probability", "operand"], "matmul_1": ["operand", "operand"]}


@pytest.mark.parametrize("name", ["mul", "gain"])
def test_a_weight_that_is_named_like_a_call_has_a_scale_of_its_own(name):

    def forward(m, x):
        y = m.conv(x)
        return m.last(y * y.tanh() + getattr(m, name))

    weight = torch.full((3, 1, 1), 100.0)
    program = captured(Call(forward, conv=conv(), last=conv(), **{name: weight}), X)
    marked = run_passes(program, [INSERT], context(name="qnn")).program
    found = {}
    for mark in marked.graph.nodes:
        if mark.name.startswith("observe"):
            bound = arguments(mark)
            found.setdefault(bound["group"], set()).add(bound["x"].op)
    assert all(len(kinds) == 1 for kinds in found.values())
    assert {group for group, kinds in found.items() if kinds == {"get_attr"}} >= {
        "@mul" if name == "mul" else "gain"
    }
