from __future__ import annotations

import pytest
import torch
from torch import nn

from rewrite import Emitter, capture
from rewrite.meta_check import wrong_values

aten = torch.ops.aten


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)

    def forward(self, x):
        return self.linear(x).relu()


@pytest.fixture
def program():
    torch.manual_seed(0)
    batch = torch.export.Dim("batch", min=2)
    return capture(Model().eval(), (torch.randn(2, 3),), ({0: batch},))


def find(program, target):
    return next(n for n in program.graph.nodes if n.target is target)


def test_a_call_gets_a_value_and_the_origin_of_its_model(program):
    emit = Emitter(program)
    relu = find(program, aten.relu.default)
    new = emit.call(aten.gelu.default, like=relu, self=relu.args[0], approximate="tanh")
    assert new.kwargs == {"approximate": "tanh"}
    assert str(new.meta["val"].shape) == str(relu.meta["val"].shape)
    assert new.meta["val"].dtype == torch.float32
    assert new.meta["stack_trace"] == relu.meta["stack_trace"]
    assert new.meta["nn_module_stack"] == relu.meta["nn_module_stack"]
    emit.replace(relu, new)
    assert wrong_values(program, *program.example) == []
    assert "gelu(%0, approximate='tanh')" in program.text()


def test_defaults_are_left_out_of_a_call(program):
    emit = Emitter(program)
    relu = find(program, aten.relu.default)
    new = emit.call(aten.add.Tensor, like=relu, self=relu, other=1.0, alpha=1)
    assert (new.args, new.kwargs) == ((relu, 1.0), {})


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"self": None, "wrong": 1}, r"has no argument \['wrong'\]"),
        ({}, "needs argument 'self'"),
    ],
)
def test_wrong_arguments_are_refused_by_name(program, named, message):
    relu = find(program, aten.relu.default)
    with pytest.raises(TypeError, match=message):
        Emitter(program).call(aten.gelu.default, like=relu, **named)


def test_replacing_erases_what_nobody_reads(program):
    emit = Emitter(program)
    relu = find(program, aten.relu.default)
    x = program.inputs()[0]
    new = emit.call(aten.cat.default, like=relu, tensors=[x, x], dim=1)
    new = emit.call(aten.slice.Tensor, like=relu, self=new, dim=1, start=0, end=4)
    emit.replace(relu, new)
    assert list(program.used_weights()) == []
    assert "linear" not in program.text()
    program.graph.lint()


@pytest.mark.parametrize("change", ["dtype", "shape", "rank"])
def test_a_replacement_of_another_type_is_refused(program, change):
    emit = Emitter(program)
    relu = find(program, aten.relu.default)
    new = {
        "dtype": lambda: emit.call(
            aten._to_copy.default, like=relu, self=relu, dtype=torch.float64
        ),
        "shape": lambda: emit.call(aten.slice.Tensor, like=relu, self=relu, dim=1, start=0, end=3),
        "rank": lambda: emit.call(aten.unsqueeze.default, like=relu, self=relu, dim=0),
    }[change]()
    with pytest.raises(ValueError, match="but replaces relu"):
        emit.replace(relu, new)
    assert relu in program.graph.output_node().all_input_nodes


def test_a_weight_is_made_once_for_a_source_and_a_recipe(program):
    emit = Emitter(program)
    calls = []

    def doubled():
        calls.append(1)
        return 2 * program.weight("linear.weight")

    first = emit.weight(doubled, source="linear.weight", recipe=("double",))
    again = emit.weight(doubled, source="linear.weight", recipe=("double",))
    other = emit.weight(doubled, source="linear.weight", recipe=("double", 2))
    assert first is again
    assert other is not first
    assert calls == [1, 1]
    assert first.target != other.target
    assert first.target.startswith("linear.weight")


def test_a_new_weight_leaves_the_old_one_as_it_is(program):
    before = program.weight("linear.weight").clone()
    emit = Emitter(program)
    linear = find(program, aten.linear.default)
    weight = linear.args[1]
    new = emit.weight(2 * emit.tensor(weight), source=weight.target, recipe=("double",))
    emit.set_arguments(linear, weight=new)
    assert torch.equal(program.weight("linear.weight"), before)
    assert torch.equal(program.weight(new.target), 2 * before)
    assert wrong_values(program, *program.example) == []


def test_weights_of_a_copy_stay_in_the_copy(program):
    twin = program.clone()
    Emitter(twin).weight(torch.ones(2), source="linear.weight", recipe=("ones",))
    assert not hasattr(program.module.linear, "weight_1")
    assert twin.text(stable=True) == program.text(stable=True)


def test_changing_arguments_recomputes_the_value(program):
    emit = Emitter(program)
    relu = find(program, aten.relu.default)
    mean = emit.call(aten.mean.dim, like=relu, self=relu, dim=[1], keepdim=True)
    emit.set_arguments(mean, keepdim=False)
    assert mean.meta["val"].dim() == 1


def test_items_of_a_call_with_several_results(program):
    emit = Emitter(program)
    relu = find(program, aten.relu.default)
    parts = emit.call(aten.split.Tensor, like=relu, self=relu, split_size=2, dim=1)
    item = emit.item(parts, 1, like=relu)
    assert tuple(item.meta["val"].shape)[1] == 2


def test_every_edit_makes_a_new_version(program):
    seen = {program.version}
    emit = Emitter(program)
    relu = find(program, aten.relu.default)
    new = emit.call(aten.neg.default, like=relu, self=relu.args[0])
    seen.add(program.version)
    emit.replace(relu, new)
    seen.add(program.version)
    assert len(seen) == 3


def test_what_another_value_depends_on_is_not_erased(program):
    emit = Emitter(program)
    emit.erase_dead(find(program, aten.linear.default))
    emit.erase_dead(program.inputs()[0])
    assert "linear" in program.text()


def test_a_dynamic_size_stays_one_whatever_shape_is_computed():
    batch = torch.export.Dim("batch", max=8)
    p = capture(Ends().eval(), (torch.randn(2, 3, 9),), ({0: batch},))
    node = p.outputs()[0]
    emit = Emitter(p)
    padded = emit.call(
        torch.ops.aten.constant_pad_nd.default, like=p.graph.output_node(), self=node, pad=[4, 5]
    )
    assert not isinstance(padded.meta["val"].shape[0], int)
    assert p.fixed_sizes() == []


class Ends(torch.nn.Module):
    def forward(self, x):
        return x * 2


def test_a_size_that_something_fixed_is_named():
    batch = torch.export.Dim("batch", max=8)
    p = capture(Ends().eval(), (torch.randn(2, 3, 9),), ({0: batch},))
    int(p.inputs()[0].meta["val"].shape[0])
    assert p.fixed_sizes() == ["batch"]
