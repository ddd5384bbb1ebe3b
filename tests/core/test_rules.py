from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from rewrite import (
    Context,
    Op,
    Reject,
    RewriteError,
    Rule,
    RulePass,
    Var,
    apply_rules,
    capture,
    only_user,
)

aten = torch.ops.aten


class DoubleNegation(Rule):
    """neg(neg(x)) = x."""

    pattern = Op(aten.neg.default, self=Op(aten.neg.default, "inner", self=Var("x")))

    def rewrite(self, match, emit):
        return match["x"]


class SparingNegation(DoubleNegation):
    """neg(neg(x)) = x where nobody else reads neg(x)."""

    def check(self, match, program):
        if not only_user(match["inner"]):
            return Reject("its operand is used elsewhere too", match["inner"])
        return None


class Swap(Rule):
    """x + y = y + x."""

    pattern = Op(aten.add.Tensor, self=Var("x"), other=Var("y"))

    def rewrite(self, match, emit):
        return emit.call(aten.add.Tensor, like=match.root, self=match["y"], other=match["x"])


def negated(x, times):
    for _ in range(times):
        x = x.neg()
    return x


def program(function, *inputs):
    class Model(nn.Module):
        def forward(self, *args):
            return function(*args)

    return capture(Model().eval(), inputs or (torch.randn(2, 3),))


def test_a_rule_fires_until_nothing_matches():
    p = program(lambda x: negated(x, 5).relu())
    outcome = apply_rules(p, [DoubleNegation()])
    assert outcome.rewrites == 2
    assert [line.partition("  #")[0].strip() for line in p.text().splitlines()[1:]] == [
        "%0 = neg(%args_0)",
        "%1 = relu(%0)",
        "return output=%1",
    ]


def test_a_rule_that_never_ends_is_named_with_its_place():
    p = program(lambda x: x + x.relu())
    with pytest.raises(RewriteError) as caught:
        apply_rules(p, [DoubleNegation(), Swap()])
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    line = lines.index("class Swap(Rule):") + 1
    assert "rule 'swap' fired" in caught.value.what
    assert caught.value.where == f"test_rules.py:{line}"


def test_a_rejection_has_the_reason_the_node_and_the_users_line():
    def forward(x):
        inner = -x
        return -inner, inner.relu()

    p = program(forward)
    outcome = apply_rules(p, [SparingNegation()])
    assert outcome.rewrites == 0
    rejection = next(r for r in outcome.rejected if "elsewhere" in r.reason)
    assert rejection.rule == "sparing-negation"
    assert rejection.node == "neg"
    assert "test_rules.py:" in rejection.where
    assert rejection.where.endswith(": inner = -x")


def test_a_near_miss_says_which_argument_does_not_fit():
    outcome = apply_rules(program(lambda x: -x.relu()), [DoubleNegation()])
    assert [(r.rule, r.reason) for r in outcome.rejected] == [
        ("double-negation", "its self is relu, not neg")
    ]


def test_a_rule_may_keep_near_misses_to_itself():
    class Quiet(DoubleNegation):
        """neg(neg(x)) = x."""

        report_misses = False

    assert apply_rules(program(lambda x: -x.relu()), [Quiet()]).rejected == []


def test_rejections_are_those_of_the_final_program():
    outcome = apply_rules(program(lambda x: negated(x, 3)), [DoubleNegation()])
    assert outcome.rewrites == 1
    assert [r.reason for r in outcome.rejected] == ["its self is a graph input, not neg"]


def test_statistics_count_tries_and_hits():
    outcome = apply_rules(program(lambda x: negated(x, 2)), [DoubleNegation(), Swap()])
    by_rule = {s.rule: s for s in outcome.statistics}
    assert by_rule["double-negation"].hits == 1
    assert by_rule["double-negation"].tries >= 2
    assert by_rule["double-negation"].seconds > 0
    assert by_rule["double-negation"].defined_at.startswith("test_rules.py:")
    assert (by_rule["swap"].tries, by_rule["swap"].hits) == (0, 0)


def test_rules_are_tried_in_order_at_the_same_root():
    class Never(DoubleNegation):
        """neg(neg(x)) = x, but never."""

        def check(self, match, program):
            return "never"

    outcome = apply_rules(program(lambda x: negated(x, 2)), [Never(), DoubleNegation()])
    assert {s.rule: s.hits for s in outcome.statistics} == {"never": 0, "double-negation": 1}


def test_a_rule_that_waits_for_a_user_to_go_fires_in_the_end():
    class DropDead(Rule):
        """relu(relu(x)) = relu(x)."""

        pattern = Op(aten.relu.default, "outer", self=Op(aten.relu.default, "inner"))

        def rewrite(self, match, emit):
            return match["inner"]

    def forward(x):
        inner = -x
        return -inner, (inner.relu() * 0.0).sum()

    # The second reader of `inner` goes only after its sum was replaced, further down.
    class DropProduct(Rule):
        """sum(x · 0) = sum(0)."""

        pattern = Op(aten.sum.default, self=Op(aten.mul.Tensor, other=0.0))

        def rewrite(self, match, emit):
            zeros = emit.weight(torch.zeros(()), source="zero", recipe=("zero",))
            return emit.call(aten.sum.default, like=match.root, self=zeros)

    p = program(forward)
    outcome = apply_rules(p, [SparingNegation(), DropDead(), DropProduct()])
    assert outcome.rewrites == 2
    assert "neg" not in p.text()


def test_a_rewrite_far_below_the_root_brings_the_root_back():
    class Deep(Rule):
        """relu(abs(sin(x))) = abs(sin(x))."""

        pattern = Op(aten.relu.default, self=Op(aten.abs.default, "abs", self=Op(aten.sin.default)))

        def rewrite(self, match, emit):
            return match["abs"]

    class Late(Rule):
        """cos(x) = sin(x), which is wrong but makes the deep rule fit."""

        pattern = Op(aten.cos.default, self=Var("x"))

        def rewrite(self, match, emit):
            return emit.call(aten.sin.default, like=match.root, self=match["x"])

    class Last(RulePass):
        """Try the root first."""

        name = "last"
        equivalence = "lossy"

        def rules(self):
            return [Deep(), Late()]

    p = program(lambda x: x.cos().abs().relu())
    outcome = Last().run(p, Context())
    assert outcome.rewrites == 2
    assert "relu" not in p.text()


def test_every_order_of_operands_is_checked():
    class DropScale(Rule):
        """relu(x) + y, matched by the side whose input is the second one."""

        pattern = Op(aten.add.Tensor, self=Op(aten.relu.default, self=Var("x")), other=Var("y"))

        def check(self, match, program):
            return None if match["x"].name == "y" else f"it is {match['x'].name}"

        def rewrite(self, match, emit):
            return emit.call(aten.neg.default, like=match.root, self=match["x"])

    class Model(nn.Module):
        def forward(self, x, y):
            return x.relu() + y.relu()

    p = capture(Model().eval(), (torch.randn(2), torch.randn(2)))
    outcome = apply_rules(p, [DropScale()])
    assert outcome.rewrites == 1
    assert "neg(%y)" in p.text()


def test_a_rule_typed_at_a_prompt_has_a_place_too():
    space = {"Rule": Rule, "Op": Op, "aten": aten, "__name__": "prompt"}
    exec(
        "class Typed(Rule):\n    pattern = Op(aten.relu.default)\n    def rewrite(s, m, e): ...",
        space,
    )
    assert space["Typed"]().defined_at == "prompt.Typed"


@dataclass(frozen=True)
class Negations(RulePass):
    """Remove double negations."""

    name = "negations"
    equivalence = "exact"

    def rules(self):
        return [DoubleNegation()]


def test_a_rule_pass_that_finds_nothing_says_so():
    outcome = Negations().run(program(lambda x: x.relu()), Context())
    assert outcome.nothing == "the program has no neg"
    assert outcome.sentences == ["the program has no neg"]


class Unmatched(Rule):
    """Match nothing, and do not say why."""

    pattern = Op((aten.neg.default,), "neg", self=Op((aten.exp.default,), "exp"))
    report_misses = False

    def rewrite(self, match, emit):
        """Do nothing."""
        return match.root


class Sly(Negations):
    """Find a call of its operator where the rule does not apply."""

    def rules(self):
        """Return the rule."""
        return [Unmatched()]


def test_a_program_that_has_the_operator_is_not_said_to_have_none():
    outcome = Sly().run(program(lambda x: -x), Context())
    assert outcome.nothing.startswith("1 call of ")
    assert outcome.nothing.endswith(", none in a place where it applies")


def test_a_rule_pass_with_rejections_needs_no_note():
    assert Negations().run(program(lambda x: -x), Context()).sentences == []
