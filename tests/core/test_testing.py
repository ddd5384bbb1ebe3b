from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from rewrite import Context, Emitter, Op, Outcome, Pass, Rule, RulePass, Target, Var, capture
from rewrite.testing import check_declines, check_golden, check_pass, randomise_

aten = torch.ops.aten


class Negated(nn.Module):
    def __init__(self, times=2) -> None:
        super().__init__()
        self.times = times

    def forward(self, x):
        for _ in range(self.times):
            x = x.neg()
        return x.relu()


class DoubleNegation(Rule):
    """neg(neg(x)) = x."""

    pattern = Op(aten.neg.default, self=Op(aten.neg.default, self=Var("x")))

    def rewrite(self, match, emit):
        return match["x"]


@dataclass(frozen=True)
class Negations(RulePass):
    """Remove double negations."""

    name = "negations"
    equivalence = "exact"

    def rules(self):
        return [DoubleNegation()]


class Edit(Pass):
    """Do something to the relu of a program."""

    name = "edit"
    equivalence = "exact"
    edit = None

    def run(self, program, context):
        """Apply the edit."""
        relu = next((n for n in program.graph.nodes if n.target is aten.relu.default), None)
        return Outcome(type(self).edit(Emitter(program), relu) if relu else 0)


def editing(function, **attributes):
    return type("Editing", (Edit,), {"edit": staticmethod(function), **attributes})()


X = (torch.randn(2, 3),)
BATCH = ({0: torch.export.Dim("batch", min=2)},)


def failure(*args, **kwargs):
    with pytest.raises(AssertionError) as caught:
        check_pass(*args, **kwargs)
    return str(caught.value)


def test_a_sound_pass_passes_and_the_program_is_returned():
    program = check_pass(Negations(), Negated(4), X, rewrites=2, dynamic_shapes=BATCH)
    assert "neg" not in program.text()
    assert program.ledger[0]["pass"] == "negations"


def test_a_captured_program_is_taken_too():
    check_pass(Negations(), capture(Negated(2).eval(), X), rewrites=1)


def test_the_context_and_the_target_reach_the_pass():
    seen = []

    def look(self, program, context):
        seen.append((context.seed, context.target.name))
        return Outcome()

    looks = type("Looks", (Pass,), {"name": "looks", "equivalence": "exact", "run": look})()
    check_pass(looks, Negated(), X, rewrites=0, target=Target("plain"), context=Context(seed=3))
    assert set(seen) == {(3, "plain")}


def test_the_wrong_number_of_rewrites_shows_the_program_and_the_reasons():
    text = failure(Negations(), Negated(2), X, rewrites=2)
    assert "'negations' made 1 rewrites, expected 2" in text
    assert "= neg(%x)" in text
    text = failure(Negations(), Negated(1), X)
    assert "made 0 rewrites, expected at least one" in text
    assert "its self is a graph input, not neg" in text


def test_a_pass_that_changes_the_function_shows_what_it_changed():
    def wrong(emit, relu):
        emit.replace(relu, emit.call(aten.abs.default, like=relu, self=relu.args[0]))
        return 1

    text = failure(editing(wrong), Negated(), X)
    assert "'edit' claims to be exact" in text
    assert "-  %relu = relu(" in text
    assert "+  %abs_default = abs(" in text


def test_a_size_that_is_baked_in_is_caught():
    def bake(emit, relu):
        new = emit.call(aten.reshape.default, like=relu, self=relu.args[0], shape=[2, 3])
        relu.replace_input_with(relu.args[0], new)
        return 1

    assert "does not run after pass 'edit'" in failure(
        editing(bake), Negated(), X, dynamic_shapes=BATCH
    )


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (lambda v: v.double(), "announces torch.float64[2, 3], but is torch.float32[2, 3]"),
        (lambda v: v[:1], "announces torch.float32[1, 3], but is torch.float32[2, 3]"),
        (lambda v: v[0], "announces torch.float32[3], but is torch.float32[2, 3]"),
        (lambda v: None, "announces NoneType, but is a tensor"),
    ],
)
def test_a_wrong_value_of_a_node_is_caught(wrong, expected):
    def lie(emit, relu):
        relu.meta["val"] = wrong(relu.meta["val"])
        emit.set_arguments(relu.args[0])
        return 1

    text = failure(editing(lie), Negated(), X)
    assert "after 'edit', meta['val'] is wrong" in text
    assert f"relu {expected}" in text


def test_a_node_without_a_value_is_caught():
    def forget(emit, relu):
        del relu.meta["val"]
        emit.set_arguments(relu.args[0])
        return 1

    assert "relu has no meta['val']" in failure(editing(forget), Negated(), X)


def test_a_size_that_is_announced_as_a_number_is_caught_by_the_second_draw():
    def fix(emit, relu):
        relu.meta["val"] = torch.empty(2, 3, device="meta")
        emit.set_arguments(relu.args[0])
        return 1

    text = failure(editing(fix), Negated(), X, dynamic_shapes=BATCH)
    assert "relu announces torch.float32[2, 3], but is torch.float32[3, 3]" in text


def test_a_pass_that_is_never_done_is_caught():
    def again(emit, relu):
        new = emit.call(aten.relu.default, like=relu, after=relu, self=relu)
        emit.redirect(relu, new)
        return 1

    text = failure(editing(again), Negated(), X)
    assert "'edit' is not done after one run; the second made 1 rewrites" in text
    assert "+  %relu_default_1 = relu(" in text


def test_a_pass_that_raises_is_told_apart():
    def fail(emit, relu):
        raise KeyError("no such thing")

    text = failure(editing(fail), Negated(), X)
    assert "pass 'edit' failed: KeyError: 'no such thing'" in text
    assert "program(%x: f32[2, 3]):" in text


def test_a_golden_file_is_compared(tmp_path):
    golden = tmp_path / "negations.txt"
    text = failure(Negations(), Negated(), X, golden=golden)
    assert f"there is no golden file {golden}; write it with: pytest --update-golden" in text
    golden.write_text(check_pass(Negations(), Negated(), X).text())
    check_pass(Negations(), Negated(), X, golden=golden)
    text = failure(Negations(), Negated(3), X, golden=golden)
    assert "the text differs from the golden file" in text
    assert "+  %0 = neg(%x)" in text


def test_the_flag_writes_golden_files(tmp_path, monkeypatch):
    golden = tmp_path / "new" / "text.txt"
    monkeypatch.setattr("rewrite.pytest_plugin._updating", True)
    check_golden("first\n", golden)
    check_golden("second\n", golden)
    monkeypatch.undo()
    check_golden("second\n", golden)
    with pytest.raises(AssertionError, match="-second"):
        check_golden("third\n", golden)


def test_declining_for_the_stated_reason():
    program = check_declines(Negations(), Negated(1), X, "a graph input, not neg")
    assert "neg" in program.text()
    check_declines(Negations(), nn.ReLU(), X, "the program has no neg")


def test_declining_for_another_reason_or_not_at_all_is_caught():
    with pytest.raises(AssertionError, match="declines without saying 'shared'") as caught:
        check_declines(Negations(), Negated(1), X, "shared")
    assert "its self is a graph input, not neg" in str(caught.value)
    with pytest.raises(AssertionError, match="made 1 rewrites where it should decline"):
        check_declines(Negations(), Negated(2), X, "")


def test_a_silent_change_is_no_declining():
    def silent(emit, relu):
        emit.replace(relu, emit.call(aten.clamp_min.default, like=relu, self=relu.args[0], min=0))
        return 0

    with pytest.raises(AssertionError, match="made 0 rewrites where it should decline"):
        check_declines(editing(silent), Negated(), X, "")


def test_randomising_takes_away_every_constant():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.GroupNorm(2, 8), nn.LayerNorm(8), nn.RMSNorm(8)
    )
    kept = model[0].weight.clone()
    assert randomise_(model) is model
    assert torch.equal(model[0].weight, kept)
    norm = model[1]
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        assert tensor.std() > 0.05
    assert (norm.running_var > 0).all()
    for layer in model[1:]:
        assert layer.weight.unique().numel() == 8
        assert (layer.weight.abs() >= 0.5).all()
    assert norm.num_batches_tracked == 0


def test_randomising_is_seeded():
    weights = [randomise_(nn.LayerNorm(16), seed=s).weight for s in (1, 1, 2)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert (randomise_(nn.LayerNorm(256)).weight < 0).float().mean() == pytest.approx(0.25, abs=0.1)
