"""A pass is held to what it does, not to what it says that it did."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from rewrite import CheckError, Context, Outcome, Pass, PassObserver, PluginError, capture
from rewrite.fingerprint import fingerprints
from rewrite.pipeline import run_passes
from rewrite.program import DynamicDim

aten = torch.ops.aten


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.last(torch.relu(self.first(x)) * 2.0)


class Scaled(nn.Module):
    """Its weight is larger than a page of memory, and no multiple of one."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(3 * 2048 + 7), requires_grad=False)

    def forward(self, x):
        return x * self.scale


class Branches(nn.Module):
    def forward(self, x):
        return torch.cond(x.sum() > 0, lambda t: t + 1.0, lambda t: t - 1.0, (x,))


@pytest.fixture
def program():
    torch.manual_seed(0)
    return capture(Layers().eval(), (torch.randn(3, 4),))


def a_pass(change, equivalence="exact"):
    """Return a pass that does something to a program, and says that it did nothing."""

    def run(self, program, context):
        change(program)
        return Outcome()

    body = {"name": "sly", "equivalence": equivalence, "run": run, "__doc__": "Be sly."}
    return type("Sly", (Pass,), body)()


def double_in_place(program):
    program.weight("first.weight").mul_(2)


def double_through_data(program):
    program.weight("first.weight").data.mul_(2)


def double_through_numpy(program):
    program.weight("first.weight").detach().numpy()[:] *= 2


@pytest.mark.parametrize("equivalence", ["exact", "lossy"])
@pytest.mark.parametrize("change", [double_in_place, double_through_data, double_through_numpy])
def test_a_weight_that_is_written_in_place_is_named(program, change, equivalence):
    with torch.no_grad(), pytest.raises(PluginError) as caught:
        run_passes(program, [a_pass(change, equivalence)], Context())
    assert "'sly' wrote to weight 'first.weight' in place" in caught.value.what
    assert "Emitter(program).weight" in caught.value.hint


def swap_the_names(program):
    names = program.signature.output_names[::-1]
    program.signature = dataclasses.replace(program.signature, output_names=names)


def widen_a_range(program):
    program.signature.dynamic["x"] = {0: DynamicDim("rows", 1, None)}


def blank_the_example(program):
    program.example[0][0].data.zero_()


def take_another_example(program):
    program.example = ((torch.zeros(3, 4),), {})


@pytest.mark.parametrize(
    "change", [swap_the_names, widen_a_range, blank_the_example, take_another_example]
)
def test_how_a_program_is_called_is_no_pass_s_to_change(change):
    class Two(nn.Module):
        def forward(self, x):
            return x + 1.0, x * 2.0

    program = capture(Two().eval(), (torch.randn(3, 4),))
    with pytest.raises(PluginError, match="'sly' changed how the program is called"):
        run_passes(program, [a_pass(change)], Context())


def test_an_edit_past_the_emitter_is_compared(program):
    def multiply_by_three(p):
        node = next(n for n in p.graph.nodes if n.target is aten.mul.Tensor)
        node.args = (node.args[0], 3.0)

    with pytest.raises(CheckError, match="'sly' claims to be exact"):
        run_passes(program, [a_pass(multiply_by_three)], Context())


def test_another_weight_under_the_same_name_is_compared(program):
    def swap(p):
        p.module.first.weight = nn.Parameter(p.module.first.weight * 2)

    with pytest.raises(CheckError, match="'sly' claims to be exact"):
        run_passes(program, [a_pass(swap)], Context())


def test_an_edited_branch_is_found():
    program = capture(Branches().eval(), (torch.randn(3),))

    def edit(p):
        graph = p.attribute("true_graph_0").graph
        node = next(n for n in graph.nodes if n.op == "call_function")
        node.args = (node.args[0], 5.0)

    with pytest.raises(PluginError, match="'sly' edited a branch in place"):
        run_passes(program, [a_pass(edit)], Context())


def test_a_correct_edit_past_the_emitter_is_a_change(program):
    def name_of_the_product(p):
        node = next(n for n in p.graph.nodes if n.target is aten.mul.Tensor)
        node.args = (node.args[0], 2)

    done = run_passes(program, [a_pass(name_of_the_product)], Context())
    assert done.reports[0].difference is not None
    assert done.program.version != program.version


def test_an_observer_has_a_copy(program):
    class Meddler(PassObserver):
        def after_pass(self, pass_, program, outcome):
            node = next(n for n in program.graph.nodes if n.target is aten.mul.Tensor)
            node.args = (node.args[0], 7.0)

    def nothing(p):
        return None

    done = run_passes(program, [a_pass(nothing)], Context(), observers=[Meddler()])
    assert done.program.text() == program.text()


def test_memory_that_programs_share_is_read_once(program, monkeypatch):
    taken = []
    contiguous = torch.Tensor.contiguous
    monkeypatch.setattr(torch.Tensor, "contiguous", lambda t: taken.append(t) or contiguous(t))
    first, second = fingerprints(program, program.clone())
    assert first == second
    assert len(first.weights) == 4
    assert len(taken) == 5  # the example too


def swap(weight, one, other):
    weight[[one, other]] = weight[[other, one]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "change",
    [
        lambda weight: weight[1234].neg_(),
        lambda weight: weight[-1].mul_(1.0000001),
        lambda weight: weight.neg_(),
        lambda weight: weight[1::2].neg_(),
        lambda weight: weight[1:10:8].neg_(),
        lambda weight: swap(weight, 3, 4),
        lambda weight: swap(weight, 3, 2050),
        lambda weight: weight.copy_(weight.roll(2048)),
        lambda weight: weight.copy_(weight.flip(0)),
    ],
)
def test_every_change_of_a_large_weight_shows(change, dtype):
    torch.manual_seed(0)
    program = capture(Scaled().to(dtype).eval(), (torch.randn(1, dtype=dtype),))
    before = fingerprints(program)[0]
    assert fingerprints(program)[0] == before
    change(program.weight("scale"))
    after = fingerprints(program)[0]
    assert before.changed_weights(after) == ["scale"]
