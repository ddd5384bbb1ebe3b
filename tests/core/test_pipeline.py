from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import nn

from rewrite import (
    CheckError,
    Context,
    Emitter,
    Outcome,
    Pass,
    PassObserver,
    PluginError,
    UsageError,
    capture,
    option,
)
from rewrite.draws import check_inputs
from rewrite.pipeline import check_requirements, order_passes, run_passes

aten = torch.ops.aten


class Model(nn.Module):
    def forward(self, x):
        return (x * 2.0).relu().flatten(1)


@pytest.fixture
def program():
    torch.manual_seed(0)
    batch = torch.export.Dim("batch", min=2, max=16)
    return capture(Model().eval(), (torch.randn(3, 2, 2),), ({0: batch},))


def named(name, **relations):
    """Return a pass class that does nothing."""

    def run(self, program, context):
        return Outcome()

    body = {"name": name, "equivalence": "exact", "run": run, "__doc__": "Do nothing."}
    return type(name.title(), (Pass,), body | relations)


class Scale(Pass):
    """Multiply by another factor than the model does."""

    name = "scale"
    equivalence = "exact"
    factor: ClassVar[float] = 2.0

    def run(self, program, context):
        """Replace the factor."""
        node = next(n for n in program.graph.nodes if n.target is aten.mul.Tensor)
        Emitter(program).set_arguments(node, other=self.factor)
        return Outcome(1)


def scaled(factor, equivalence="exact", bound=0.0):
    body = {"factor": factor, "equivalence": equivalence, "bound": bound, "__doc__": "Scale."}
    return type("Scaled", (Scale,), body)()


class BakesInASize(Pass):
    """Write the example's batch size into a reshape."""

    name = "bakes-in"
    equivalence = "exact"

    def run(self, program, context):
        """Replace the last call."""
        node = program.outputs()[0]
        emit = Emitter(program)
        new = emit.call(aten.reshape.default, like=node, self=node.args[0], shape=[3, 4])
        emit.replace(node, new)
        return Outcome(1)


class Raises(Pass):
    """Edit the program, then fail."""

    name = "raises"
    equivalence = "exact"

    def run(self, program, context):
        """Fail halfway."""
        scaled(7.0).run(program, context)
        raise KeyError("no such thing")


def names(passes):
    return [p.name for p in passes]


def test_a_set_is_ordered_by_its_relations():
    a = named("a", after=("c",))
    b = named("b", requires=("a",))
    c = named("c")
    d = named("d", before=("a",))
    assert names(order_passes([b, a, c, d])) == ["c", "d", "a", "b"]


def test_ties_keep_the_given_order():
    passes = [named(n) for n in "dbca"]
    assert names(order_passes(passes)) == ["d", "b", "c", "a"]


def test_soft_relations_to_passes_that_are_not_there_mean_nothing():
    assert names(order_passes([named("a", after=("x",), before=("y",))])) == ["a"]


def test_a_cycle_is_printed_as_a_path():
    passes = [named("a", after=("c",)), named("b", after=("a",)), named("c", requires=("b",))]
    with pytest.raises(UsageError) as caught:
        order_passes([*passes, named("d")])
    path = caught.value.what.partition(": ")[2].split(" → ")
    assert path[0] == path[-1]
    assert sorted(path[1:]) == ["a", "b", "c"]
    assert "".join(path) in ("abca", "bcab", "cabc")


def test_a_set_that_lacks_a_requirement_is_refused():
    with pytest.raises(UsageError, match="'a' requires 'x', which is not in the set"):
        order_passes([named("a", requires=("x",))])


def test_a_list_is_obeyed_and_a_violated_requirement_is_an_error(program):
    a, b = named("a", requires=("b",))(), named("b")()
    check_requirements([b, a])
    with pytest.raises(UsageError) as caught:
        run_passes(program, [a, b], Context())
    assert "'a' requires 'b' before it: b → a" in caught.value.what
    assert caught.value.hint == "--passes b,a"


def test_a_requirement_may_have_run_earlier(program):
    first = run_passes(program, [named("b")()], Context()).program
    assert names(
        r.pass_ for r in run_passes(first, [named("a", requires=("b",))()], Context()).reports
    )


def test_soft_relations_do_not_reorder_a_list(program):
    passes = [named("a", after=("b",))(), named("b")()]
    result = run_passes(program, passes, Context())
    assert names(r.pass_ for r in result.reports) == ["a", "b"]


def test_a_pass_that_raises_is_named_with_its_origin_and_line(program):
    before = program.text(stable=True)
    with pytest.raises(PluginError) as caught:
        run_passes(program, [Raises()], Context(), origin={"raises": "dist-bad 0.9"}.get)
    error = caught.value
    assert error.what == "pass 'raises' (from dist-bad 0.9) failed: KeyError: 'no such thing'"
    assert "test_pipeline.py:" in error.where
    assert error.where.endswith('raise KeyError("no such thing")')
    assert error.exit_code == 3
    assert program.text(stable=True) == before


def test_a_pass_that_returns_no_outcome_is_refused(program):
    class Forgets(Pass):
        """Forget to return."""

        name = "forgets"
        equivalence = "exact"

        def run(self, program, context):
            pass

    with pytest.raises(PluginError, match=r"run\(\) returned NoneType, not an Outcome"):
        run_passes(program, [Forgets()], Context())


def test_an_exact_pass_that_lies_is_caught(program):
    before = program.text(stable=True)
    with pytest.raises(CheckError) as caught:
        run_passes(program, [scaled(2.0 + 1e-6)], Context())
    assert "'scale' claims to be exact, but its relative error in float64 is 5.00e-07" in str(
        caught.value
    )
    assert caught.value.exit_code == 1
    assert program.text(stable=True) == before


def test_an_approximate_pass_is_held_to_its_bound(program):
    report = run_passes(program, [scaled(2.002, "approximate", 2e-3)], Context()).reports[0]
    assert report.difference.relative == pytest.approx(1e-3)
    with pytest.raises(CheckError, match=r"promises a relative error under 0\.0005"):
        run_passes(program, [scaled(2.002, "approximate", 5e-4)], Context())


def test_a_lossy_pass_is_measured(program):
    report = run_passes(program, [scaled(3.0, "lossy")], Context()).reports[0]
    assert report.difference.relative == pytest.approx(0.5)
    assert report.difference.cosine == pytest.approx(1.0)
    assert report.as_json()["error"] == pytest.approx(0.5)


def test_even_a_lossy_pass_must_not_make_nan(program):
    with pytest.raises(CheckError, match="an output holds NaN where there was none"):
        run_passes(program, [scaled(float("nan"), "lossy")], Context())


def test_errors_are_measured_against_the_original_step_by_step(program):
    result = run_passes(program, [scaled(3.0, "lossy"), scaled(3.0)], Context())
    assert [r.difference.relative for r in result.reports] == [pytest.approx(0.5), 0.0]


def test_a_size_that_is_baked_in_is_caught_by_the_second_draw(program):
    with pytest.raises(PluginError) as caught:
        run_passes(program, [BakesInASize()], Context(), origin=lambda name: "dist-bad 0.9")
    assert "does not run after pass 'bakes-in' (from dist-bad 0.9)" in caught.value.what
    assert "a size may have been baked in" in caught.value.hint


def test_the_second_draw_is_needed_to_catch_it(program):
    program.signature.dynamic.clear()
    result = run_passes(program, [BakesInASize()], Context())
    assert result.reports[0].difference.relative == 0.0


def test_derived_sizes_are_drawn_together():
    class Halves(nn.Module):
        def forward(self, x, y):
            return x + y[::2]

    half = torch.export.Dim("half", min=2, max=64)
    p = capture(Halves().eval(), (torch.randn(3), torch.randn(6)), ({0: half}, {0: 2 * half}))
    sizes = [[len(a) for a in args] for args, _ in check_inputs(p)]
    assert sizes == [[2, 4], [3, 6]]
    run_passes(p, [named("a")()], Context())


def test_the_input_program_is_left_untouched(program):
    before, version = program.text(stable=True), program.version
    result = run_passes(program, [scaled(3.0, "lossy")], Context())
    assert program.text(stable=True) == before
    assert program.version == version
    assert program.ledger == []
    assert "other=3.0" in result.program.text()


@dataclass(frozen=True)
class Tuned(Pass):
    """Do nothing, with an option."""

    name = "tuned"
    equivalence = "exact"
    bits: int = option(8, help="Bits.")

    def run(self, program, context):
        """Measure something."""
        return Outcome(measures={"share": 0.25}, notes=["nothing to do"])


def test_the_ledger_says_who_did_what_with_which_options(program):
    result = run_passes(
        program, [Tuned(4), scaled(3.0, "lossy")], Context(), origin=lambda name: "dist 1.0"
    )
    tuned, scale = result.program.ledger
    assert tuned == {
        "pass": "tuned",
        "from": "dist 1.0",
        "options": {"bits": 4},
        "equivalence": "exact",
        "rewrites": 0,
        "rejected": 0,
        "relative_error": None,
        "measures": {"share": 0.25},
    }
    assert (scale["pass"], scale["rewrites"]) == ("scale", 1)
    assert scale["relative_error"] == pytest.approx(0.5)


def test_observers_see_each_pass_before_and_after(program):
    class Log(PassObserver):
        name = "log"

        def __init__(self):
            self.seen = []

        def before_pass(self, pass_, program):
            self.seen.append(("before", pass_.name, "other=3.0" in program.text()))

        def after_pass(self, pass_, program, outcome):
            self.seen.append(("after", pass_.name, outcome.rewrites))

    log = Log()
    run_passes(program, [named("a")(), scaled(3.0, "lossy")], Context(), observers=[log])
    assert log.seen == [
        ("before", "a", False),
        ("after", "a", 0),
        ("before", "scale", False),
        ("after", "scale", 1),
    ]


def test_analyses_live_as_long_as_they_are_preserved(program):
    computed = []

    def ask(self, program, context):
        context.analyses.get("blocks", program, lambda p: computed.append(p.version))
        context.analyses.get("ranges", program, lambda p: computed.append(p.version))
        return Outcome()

    asks = type("Asks", (Pass,), {"name": "asks", "equivalence": "exact", "run": ask})
    keeps = type("Keeps", (type(scaled(3.0, "lossy")),), {"preserves": ("blocks",)})
    run_passes(program, [asks(), asks()], Context())
    assert len(computed) == 2
    computed.clear()
    run_passes(program, [asks(), keeps(), asks()], Context())
    assert len(computed) == 3


def test_one_context_never_mixes_two_programs(program):
    context = Context()
    other = capture(Model().eval(), (torch.randn(2, 5),))
    seen = []

    def ask(self, program, context):
        seen.append(context.analyses.get("shape", program, lambda p: p.text()))
        return Outcome()

    asks = type("Asks", (Pass,), {"name": "asks", "equivalence": "exact", "run": ask})
    run_passes(program, [asks()], context)
    run_passes(other, [asks()], context)
    assert seen[0] != seen[1]
