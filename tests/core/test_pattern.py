from __future__ import annotations

import operator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import fx

from rewrite import Const, Maybe, OneOf, Op, Var, Weight, only_user
from rewrite.pattern import find, find_all

aten = torch.ops.aten


class Calls:
    """A graph made by hand: two inputs, weights, and calls by overload."""

    def __init__(self, **weights: torch.Tensor) -> None:
        graph = fx.Graph()
        for name in ("x", "y"):
            graph.placeholder(name)
        module = torch.nn.Module()
        for name, value in weights.items():
            module.register_buffer(name, value)
            graph.get_attr(name)
        graph.output(None)
        self.module = fx.GraphModule(module, graph)
        self.graph = self.module.graph
        nodes = {n.name: n for n in self.graph.nodes}
        self.x, self.y = nodes["x"], nodes["y"]
        self.weights = {name: nodes[name] for name in weights}

    def __call__(self, overload, *args, **kwargs):
        return self.graph.call_function(overload, args, kwargs)


def test_what_is_not_mentioned_is_a_wildcard():
    call = Calls(w=torch.ones(1, 1, 1, 1))
    conv = call(aten.conv2d.default, call.x, call.weights["w"], None, [2, 2], [1, 1])
    match = find(Op(aten.conv2d.default, input=Var("x")), conv)
    assert match.root is conv
    assert match["x"] is call.x


def test_arguments_are_named_and_defaults_are_filled_in():
    call = Calls(w=torch.ones(1, 1, 1, 1))
    conv = call(aten.conv2d.default, call.x, call.weights["w"])
    match = find(Op(aten.conv2d.default, "conv", stride=[1, 1], groups=1, bias=None), conv)
    assert match.argument("conv", "dilation") == [1, 1]
    assert find(Op(aten.conv2d.default, stride=[2, 2]), conv) is None


def test_an_operator_that_differs_does_not_match():
    call = Calls()
    assert find(Op(aten.relu.default), call(aten.neg.default, call.x)) is None
    assert find(Op(aten.relu.default), call.x) is None


def test_a_packet_stands_for_all_its_overloads():
    call = Calls()
    pattern = Op(aten.mean, self=Var("x"))
    assert find(pattern, call(aten.mean.default, call.x))["x"] is call.x
    assert find(pattern, call(aten.mean.dim, call.x, [1]))["x"] is call.x


def test_a_plain_function_is_an_operator_too():
    call = Calls()
    item = call(operator.getitem, call(aten.unbind.int, call.x), 1)
    match = find(Op(operator.getitem, self=Op(aten.unbind.int, self=Var("x")), index=1), item)
    assert match["x"] is call.x
    assert find(Op(operator.getitem, index=0), item) is None


def test_the_same_name_twice_binds_the_same_node():
    call = Calls()
    pattern = Op(aten.mul.Tensor, self=Var("x"), other=Var("x"))
    assert find(pattern, call(aten.mul.Tensor, call.x, call.x))["x"] is call.x
    assert find(pattern, call(aten.mul.Tensor, call.x, call.y)) is None


def test_the_same_name_twice_binds_equal_constants():
    call = Calls()
    inner = call(aten.add.Tensor, call.x, 3)
    pattern = Op(aten.mul.Tensor, self=Op(aten.add.Tensor, other=Var("c")), other=Var("c"))
    assert find(pattern, call(aten.mul.Tensor, inner, 3))["c"] == 3
    assert find(pattern, call(aten.mul.Tensor, inner, 4)) is None


@pytest.mark.parametrize("overload", [aten.add.Tensor, aten.mul.Tensor])
def test_add_and_mul_commute(overload):
    call = Calls()
    relu = call(aten.relu.default, call.x)
    pattern = Op(overload, self=Op(aten.relu.default), other=Var("y"))
    assert find(pattern, call(overload, relu, call.y))["y"] is call.y
    assert find(pattern, call(overload, call.y, relu))["y"] is call.y


def test_sub_does_not_commute():
    call = Calls()
    relu = call(aten.relu.default, call.x)
    pattern = Op(aten.sub.Tensor, self=Op(aten.relu.default), other=Var("y"))
    assert find(pattern, call(aten.sub.Tensor, relu, call.y)) is not None
    assert find(pattern, call(aten.sub.Tensor, call.y, relu)) is None


def test_operands_that_change_places_give_several_matches():
    call = Calls()
    left, right = call(aten.relu.default, call.x), call(aten.relu.default, call.y)
    pattern = Op(aten.add.Tensor, self=Op(aten.relu.default, "relu"))
    found = [m["relu"] for m in find_all(pattern, call(aten.add.Tensor, left, right))]
    assert found == [left, right]


def test_a_scaled_sum_matches_only_who_asks_for_alpha():
    call = Calls()
    scaled = call(aten.add.Tensor, call.x, call.y, alpha=2)
    assert find(Op(aten.add.Tensor, self=Var("a"), other=Var("b")), scaled) is None
    assert find(Op(aten.add.Tensor, alpha=Var("alpha")), scaled)["alpha"] == 2


def test_a_scaled_sum_does_not_commute():
    call = Calls()
    relu = call(aten.relu.default, call.x)
    scaled = call(aten.add.Tensor, call.y, relu, alpha=2)
    pattern = Op(aten.add.Tensor, self=Op(aten.relu.default), alpha=Var("alpha"))
    assert find(pattern, scaled) is None


def test_weight_matches_weights_only():
    call = Calls(w=torch.ones(2, 2))
    pattern = Op(aten.linear.default, weight=Weight("w"))
    known = call(aten.linear.default, call.x, call.weights["w"])
    assert find(pattern, known)["w"] is call.weights["w"]
    assert find(pattern, call(aten.linear.default, call.x, call.y)) is None


@pytest.mark.parametrize(
    ("wanted", "given", "fits"),
    [
        (1, 1, True),
        (1, 1.0, True),
        (0.044715, 0.044715 * (1 + 1e-7), True),
        (0.044715, 0.0447, False),
        (0, 1e-9, False),
        (float("inf"), float("inf"), True),
        (True, 1, False),
        (None, 0, False),
        ("tanh", "tanh", True),
        ("tanh", "none", False),
        ([1, 2], (1, 2), True),
        ([1, 2], [1, 2, 3], False),
        ([1, 2], 1, False),
        (torch.float32, torch.float32, True),
        (torch.float32, torch.float64, False),
    ],
)
def test_constants(wanted, given, fits):
    assert (next(Const(wanted).match(given, {}), None) is not None) == fits


def test_a_weight_of_one_element_counts_as_its_value():
    call = Calls(single=torch.tensor(0.5), pair=torch.tensor([0.5, 0.5]))
    pattern = Op(aten.mul.Tensor, self=Var("x"), other=0.5)
    assert find(pattern, call(aten.mul.Tensor, call.x, call.weights["single"]))["x"] is call.x
    assert find(pattern, call(aten.mul.Tensor, call.x, call.weights["pair"])) is None


def test_maybe_binds_none_to_every_name_inside():
    call = Calls(w=torch.ones(2, 2), b=torch.ones(2))
    scaled = Op(aten.mul.Tensor, "product", self=Var("b"), other=Weight("s"))
    pattern = Op(aten.linear.default, bias=Maybe(scaled))
    match = find(pattern, call(aten.linear.default, call.x, call.weights["w"]))
    assert [match[n] for n in ("product", "b", "s")] == [None, None, None]
    bias = call.weights["b"]
    assert find(pattern, call(aten.linear.default, call.x, call.weights["w"], bias)) is None


def test_maybe_does_not_overwrite_a_name():
    call = Calls(w=torch.ones(2, 2), b=torch.ones(2))
    linear = call(aten.linear.default, call.x, call.weights["w"])
    pattern = Op(aten.add.Tensor, other=Var("b"), self=Op(aten.linear, bias=Maybe(Var("b"))))
    assert find(pattern, call(aten.add.Tensor, linear, call.weights["b"])) is None


def test_one_of_takes_the_first_that_fits():
    call = Calls()
    relu, gelu = Op(aten.relu.default, "act"), Op(aten.gelu.default, "act")
    pattern = Op(aten.neg.default, self=OneOf(relu, gelu, Var("other")))
    act = call(aten.gelu.default, call.x)
    assert find(pattern, call(aten.neg.default, act)).binding == {"act": act}
    assert find(pattern, call(aten.neg.default, call.x)).binding == {"other": call.x}


def test_an_argument_that_no_operator_has_is_refused_when_the_pattern_is_made():
    with pytest.raises(TypeError, match=r"mul has no argument 'othr'"):
        Op(aten.mul.Tensor, self=Var("x"), othr=1)
    with pytest.raises(TypeError, match=r"getitem has no argument 'item'"):
        Op(operator.getitem, item=0)
    Op((aten.linear.default, aten.matmul.default), weight=Weight("w"))


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda c: c(aten.mul.Tensor, c.x, c.y), "its self is a graph input, not relu"),
        (
            lambda c: c(aten.mul.Tensor, c(aten.neg.default, c.x), c.y),
            "its self is neg, not relu",
        ),
        (
            lambda c: c(aten.mul.Tensor, c(aten.relu.default, c.x), c.y),
            "its other is a graph input, not a weight",
        ),
        (
            lambda c: c(aten.mul.Tensor, c(aten.relu.default, c.x), 3),
            "its other is 3, not a weight",
        ),
    ],
)
def test_a_near_miss_names_the_argument(build, expected):
    pattern = Op(aten.mul.Tensor, self=Op(aten.relu.default), other=Weight("w"))
    node = build(Calls())
    assert find(pattern, node) is None
    assert pattern.why_not(node) == expected


def test_a_near_miss_looks_into_the_operand_that_comes_nearest():
    call = Calls()
    inner = call(aten.softmax.int, call.x, 1)
    pattern = Op(aten.relu.default, self=Op(aten.softmax.int, dim=-1))
    assert pattern.why_not(call(aten.relu.default, inner)) == "its dim is 1, not -1"


def test_a_near_miss_of_operands_that_change_places_takes_the_nearer_order():
    call = Calls()
    product = call(aten.mul.Tensor, call.y, call(aten.relu.default, call.x))
    pattern = Op(aten.mul.Tensor, self=Op(aten.relu.default), other=Weight("w"))
    assert pattern.why_not(product) == "its other is a graph input, not a weight"


def test_a_near_miss_of_a_scaled_sum_says_alpha():
    call = Calls()
    pattern = Op(aten.add.Tensor, self=Var("a"), other=Var("b"))
    scaled = call(aten.add.Tensor, call.x, call.y, alpha=2)
    assert pattern.why_not(scaled) == "its alpha is 2, not 1"


def test_a_near_miss_of_operands_that_do_not_fit_together():
    call = Calls()
    pattern = Op(aten.mul.Tensor, self=Var("x"), other=Var("x"))
    assert pattern.why_not(call(aten.mul.Tensor, call.x, call.y)) == (
        "its arguments do not fit together"
    )


def test_only_user():
    call = Calls()
    relu = call(aten.relu.default, call.x)
    call(aten.neg.default, relu)
    assert only_user(relu)
    call(aten.abs.default, relu)
    assert not only_user(relu)
    assert not only_user(call.y)


TREES = st.recursive(
    st.sampled_from(["x", "y", 2, 0.5]),
    lambda t: st.tuples(st.sampled_from(["add", "mul"]), t, t),
    max_leaves=6,
)


def _grow(call: Calls, tree, swap: bool):
    if not isinstance(tree, tuple):
        return getattr(call, tree) if isinstance(tree, str) else tree
    name, *sides = tree
    left, right = (_grow(call, side, swap) for side in (reversed(sides) if swap else sides))
    overload = {"add": aten.add.Tensor, "mul": aten.mul.Tensor}[name]
    return call(overload, left, right)


def _pattern(tree):
    if not isinstance(tree, tuple):
        return Var(tree) if isinstance(tree, str) else Const(tree)
    overload = {"add": aten.add.Tensor, "mul": aten.mul.Tensor}[tree[0]]
    return Op(overload, self=_pattern(tree[1]), other=_pattern(tree[2]))


@settings(deadline=None, max_examples=60)
@given(st.tuples(st.sampled_from(["add", "mul"]), TREES, TREES), st.booleans())
def test_a_pattern_finds_its_own_tree_with_operands_swapped_anywhere(tree, swap):
    call = Calls()
    match = find(_pattern(tree), _grow(call, tree, swap))
    assert match is not None
    # Alike operands may stand for each other, so x may be bound to y, but never to a constant.
    assert all(isinstance(node, fx.Node) or node in (2, 0.5) for node in match.binding.values())


def test_of_many_operators_only_the_first_are_named():
    few = (aten.relu.default, aten.gelu.default, aten.silu.default, aten.tanh.default)
    assert Op(few).describe() == "relu or gelu or silu or tanh"
    many = (*few, aten.elu.default)
    assert Op(many).describe() == "relu or gelu or silu or 2 others"
