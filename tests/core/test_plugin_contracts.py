from __future__ import annotations

import pytest

from .plugin_source import info, provider

BAD_PASSES = {
    "Case(Pass)": ("Idle is named 'Fold_Scale'", 'name = "idle"', 'name = "Fold_Scale"'),
    "no name": ("Idle has no name", 'name = "idle"', ""),
    "class": ("not one of ('exact', 'approximate', 'lossy')", '"exact"', '"same"'),
    "no class": ("Idle.equivalence is None", 'equivalence = "exact"', ""),
    "bound": ("set bound to the relative error", '"exact"', '"approximate"'),
    "docstring": ("Idle has no docstring", "'''Do nothing.'''", ""),
    "run": ("Idle does not implement run()", "def run(", "def walk("),
    "string": ("not a tuple", 'equivalence = "exact"', 'equivalence = "exact"; after = "a"'),
    "precisions": (
        "Idle gives precisions, and has no option 'override'",
        'equivalence = "exact"',
        'equivalence = "exact"; precisions = ("float", "w8")',
    ),
    "instance": ("yield the class", "yield Idle", "yield Idle()"),
    "other": ("yielded 7, not a subclass of Pass", "yield Idle", "yield 7"),
    "twice": ("yielded pass 'idle' twice", "yield Idle", "yield Idle; yield Idle"),
    "return": ("yield the descriptors", "yield Idle", "return Idle"),
    "nothing": ("returned NoneType", "yield Idle", "pass"),
}


@pytest.mark.parametrize("case", BAD_PASSES)
def test_a_pass_that_breaks_its_contract_is_recorded(install, make_host, case):
    expected, old, new = BAD_PASSES[case]
    body = provider("idle")
    assert old in body
    install("wrong", body.replace(old, new))
    host = make_host()
    assert host.passes() == {}
    assert expected in info(host, "wrong").error


OPTIONS = """
    from dataclasses import dataclass
    from rewrite import Outcome, Pass, hookimpl, option

    {decorator}
    class Picky(Pass):
        '''Do nothing, with an option.'''

        name = "picky"
        equivalence = "exact"
        bits: int = {option}

        def run(self, program, context):
            return Outcome()

    @hookimpl
    def rewrite_passes():
        yield Picky
"""


@pytest.mark.parametrize(
    ("decorator", "option", "expected"),
    [
        ("", 'option(8, help="Bits.")', "decorate it, @dataclass(frozen=True)"),
        ("@dataclass(frozen=True)", 'option(8, help="")', "Picky.bits has no help text"),
        ("@dataclass(frozen=True)", 'option(9, help="Bits.", high=8)', "9 is out of range"),
        ("@dataclass(frozen=True)", 'option("x", help="Bits.")', "'x' is not a value of type int"),
    ],
)
def test_options_of_a_pass_are_validated(install, make_host, decorator, option, expected):
    install("picky", OPTIONS.format(decorator=decorator, option=option))
    host = make_host()
    assert host.passes() == {}
    assert expected in info(host, "picky").error


def test_a_dataclass_without_a_docstring_is_not_documented(install, make_host):
    body = OPTIONS.format(decorator="@dataclass(frozen=True)", option='option(8, help="Bits.")')
    install("mute", body.replace("'''Do nothing, with an option.'''", ""))
    assert "Picky has no docstring" in info(make_host(), "mute").error


DESCRIPTORS = {
    "preset name": ("rewrite_presets", "Preset('Big One', ('a',))", "is named 'Big One'"),
    "preset passes": ("rewrite_presets", "Preset('a', 'b')", "passes is 'b', not a tuple"),
    "preset type": ("rewrite_presets", "'a'", "yielded 'a', not a Preset"),
    "model": ("rewrite_models", "Model('m', 1, tuple)", "model 'm': model is not a function"),
    "target": ("rewrite_targets", "{}", "yielded {}, not a Target"),
    "fault symptom": ("rewrite_faults", "Fault('a', 'openvino', '')", "fault 'a' has no symptom"),
    "packet": (
        "rewrite_lowerings",
        "Lowering(torch.ops.aten.silu, print)",
        "a Lowering takes one overload: aten.silu.default",
    ),
    "operator": ("rewrite_lowerings", "Lowering('silu', print)", "takes an operator overload"),
    "calibrator": ("rewrite_calibrators", "Calibrator", "does not implement bounds(), observe()"),
    "observer": ("rewrite_observers", "PassObserver", "an observer is an instance"),
}


@pytest.mark.parametrize("case", DESCRIPTORS)
def test_other_descriptors_are_validated(install, make_host, case):
    hook, value, expected = DESCRIPTORS[case]
    install(
        "wrong",
        f"""
        import torch
        from rewrite import Calibrator, Fault, Lowering, Model, PassObserver, Preset, hookimpl

        @hookimpl
        def {hook}():
            yield {value}
        """,
    )
    host = make_host()
    assert expected in info(host, "wrong").error
    assert info(host, "wrong").where.endswith(":5")
