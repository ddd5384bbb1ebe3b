from __future__ import annotations

import sys
import textwrap

import pytest

from rewrite import PluginError, UsageError

PASS = """
    from rewrite import Outcome, Pass, hookimpl

    class Idle(Pass):
        '''Do nothing.'''

        name = "{name}"
        equivalence = "exact"

        def run(self, program, context):
            return Outcome()

    @hookimpl
    def rewrite_passes():
        yield Idle
"""


def provider(name):
    return PASS.format(name=name)


def info(host, name):
    return next(p for p in host.plugins() if p.name == name)


def test_an_installed_plugin_is_found_and_attributed(install, make_host):
    install("good", provider("idle"), version="2.3")
    host = make_host()
    assert host.find_pass("idle").name == "idle"
    assert host.origin("pass", "idle") == host.pass_origin("idle") == "dist-good 2.3"
    plugin = info(host, "good")
    assert (plugin.distribution, plugin.version, plugin.status) == ("dist-good", "2.3", "active")
    assert plugin.hooks == ("rewrite_passes",)
    assert plugin.provides == {"pass": ("idle",)}
    assert plugin.error is None


def test_origin_of_an_unknown_name_is_empty(make_host):
    assert make_host().origin("pass", "nobody") == ""


def test_a_plugin_that_does_not_import_breaks_no_other(install, make_host):
    install("bad", "import no_such_library_here", version="0.9")
    install("good", provider("idle"))
    host = make_host()
    assert list(host.passes()) == ["idle"]
    plugin = info(host, "bad")
    assert plugin.status == "broken"
    assert plugin.error == "ModuleNotFoundError: No module named 'no_such_library_here'"
    assert plugin.where.endswith(":1: import no_such_library_here")


def test_a_plugin_that_exits_at_import_breaks_no_other(install, make_host):
    install("bad", "raise SystemExit(3)")
    install("good", provider("idle"))
    host = make_host()
    assert list(host.passes()) == ["idle"]
    assert info(host, "bad").error == "SystemExit: 3"


def test_a_missing_name_says_which_plugin_did_not_load(install, make_host):
    module = install("bad", "\n\nimport no_such_library_here", version="0.9")
    with pytest.raises(PluginError) as caught:
        make_host().find_pass("wanted")
    error = caught.value
    assert error.exit_code == 3
    assert "unknown pass 'wanted'" in error.what
    assert "plugin 'bad' (dist-bad 0.9) failed: ModuleNotFoundError" in error.what
    assert error.where.endswith(f"{module}.py:3: import no_such_library_here")


@pytest.mark.parametrize("kind", ["pass", "preset", "model", "target", "calibrator"])
def test_an_unknown_name_of_any_kind_is_wrong_usage(make_host, kind):
    with pytest.raises(UsageError, match=f"unknown {kind} 'nobody'"):
        getattr(make_host(), f"find_{kind}")("nobody")


def test_an_unknown_name_gets_a_suggestion(install, make_host):
    install("good", provider("fold-scale"))
    with pytest.raises(UsageError) as caught:
        make_host().find_pass("fold-scal")
    assert caught.value.hint == "did you mean 'fold-scale'?"


def test_a_blocked_plugin_is_not_even_imported(install, make_host):
    install("loud", "raise AssertionError('imported')")
    host = make_host(block=("loud",))
    assert info(host, "loud").status == "blocked"
    assert info(host, "loud").error is None
    assert host.passes() == {}


def test_blocking_a_plugin_that_is_not_there_is_wrong_usage(install, make_host):
    install("quiet", provider("idle"))
    with pytest.raises(UsageError, match="unknown plugin 'quite'") as caught:
        make_host(block=("quite",))
    assert caught.value.hint == "did you mean 'quiet'?"


def test_a_clash_names_both_distributions(install, make_host):
    install("one", provider("idle"), version="1.1")
    install("two", provider("idle"), version="2.2")
    host = make_host()
    with pytest.raises(UsageError) as caught:
        host.passes()
    assert caught.value.what == (
        "two plugins provide pass 'idle': 'one' (dist-one 1.1) and 'two' (dist-two 2.2)"
    )
    assert caught.value.hint == "leave one of them out: --block two"
    assert list(make_host(block=("two",)).passes()) == ["idle"]
    assert [p.status for p in host.plugins() if p.name in ("one", "two")] == ["active", "active"]


def test_two_plugins_of_one_name_are_told_apart(install, make_host):
    install("same", provider("idle"), distribution="first")
    install("same", provider("busy"), distribution="second")
    host = make_host()
    assert list(host.passes()) == ["idle"]
    second = next(p for p in host.plugins() if p.distribution == "second")
    assert second.status == "broken"
    assert "the plugin name 'same' is taken by first 1.0" in second.error
    with pytest.raises(PluginError, match="is taken by first"):
        host.find_pass("busy")


def test_a_misspelt_hook_gets_a_suggestion(install, make_host):
    body = provider("idle") + "\n    @hookimpl\n    def rewrite_preset():\n        yield 1\n"
    module = install("typo", body)
    host = make_host()
    assert list(host.passes()) == ["idle"]
    plugin = info(host, "typo")
    assert plugin.status == "broken"
    assert plugin.error == "there is no hook 'rewrite_preset' (did you mean 'rewrite_presets'?)"
    assert f"{module}.py:" in plugin.where


def test_a_hook_that_takes_an_unknown_argument_is_recorded(install, make_host):
    install(
        "greedy",
        """
        from rewrite import hookimpl

        @hookimpl
        def rewrite_passes(registry):
            yield registry
        """,
    )
    host = make_host()
    assert host.passes() == {}
    assert "registry" in info(host, "greedy").error
    assert info(host, "greedy").provides == {}


def test_a_generator_that_raises_midway_drops_only_its_own(install, make_host):
    module = install("late", provider("early") + "        raise ValueError('gave up')\n")
    install("good", provider("idle"))
    host = make_host()
    assert list(host.passes()) == ["idle"]
    plugin = info(host, "late")
    assert plugin.status == "broken"
    assert plugin.error == "rewrite_passes: ValueError: gave up"
    assert f"{module}.py" in plugin.where
    assert plugin.where.endswith("raise ValueError('gave up')")


def test_hooks_are_asked_once_and_only_for_what_is_wanted(install, make_host):
    install(
        "counting",
        """
        from rewrite import hookimpl
        CALLS = []

        @hookimpl
        def rewrite_passes():
            CALLS.append("passes")
            return []

        @hookimpl
        def rewrite_targets():
            CALLS.append("targets")
            return []
        """,
    )
    host = make_host()
    calls = next(m.CALLS for n, m in sys.modules.items() if n.startswith("fake_counting"))
    assert calls == []
    host.passes()
    host.passes()
    assert calls == ["passes"]


def test_a_plugin_without_hooks_is_recorded(install, make_host):
    install("empty", "VALUE = 1")
    assert "it registers no hooks" in info(make_host(), "empty").error


BAD_PASSES = {
    "Case(Pass)": ("Idle is named 'Fold_Scale'", 'name = "idle"', 'name = "Fold_Scale"'),
    "no name": ("Idle has no name", 'name = "idle"', ""),
    "class": ("not one of ('exact', 'approximate', 'lossy')", '"exact"', '"same"'),
    "no class": ("Idle.equivalence is None", 'equivalence = "exact"', ""),
    "bound": ("set bound to the relative error", '"exact"', '"approximate"'),
    "docstring": ("Idle has no docstring", "'''Do nothing.'''", ""),
    "run": ("Idle does not implement run()", "def run(", "def walk("),
    "string": ("not a tuple", 'equivalence = "exact"', 'equivalence = "exact"; after = "a"'),
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
        from rewrite import Calibrator, Lowering, Model, PassObserver, Preset, hookimpl

        @hookimpl
        def {hook}():
            yield {value}
        """,
    )
    host = make_host()
    assert expected in info(host, "wrong").error
    assert info(host, "wrong").where.endswith(":5")


def test_lowerings_clash_only_where_they_serve_the_same_target(install, make_host):
    body = """
        import torch
        from rewrite import Lowering, hookimpl

        @hookimpl
        def rewrite_lowerings():
            yield Lowering(torch.ops.aten.silu.default, print, {targets})
    """
    install("one", body.format(targets="('a',)"))
    install("two", body.format(targets="('b',)"))
    assert len(make_host().lowerings()) == 2
    install("three", body.format(targets="('b', 'c')"))
    with pytest.raises(UsageError, match=r"two plugins provide lowering 'aten.silu.default for b'"):
        make_host().lowerings()


def test_a_file_is_a_plugin(tmp_path, make_host):
    file = tmp_path / "my_pass.py"
    file.write_text(textwrap.dedent(provider("mine")))
    host = make_host(plugins=(str(file),))
    assert host.find_pass("mine").summary() == "Do nothing."
    assert host.origin("pass", "mine") == str(file)
    assert info(host, "my-pass").version == ""


def test_a_module_is_a_plugin_and_loads_once(install, make_host):
    module = install("good", provider("idle"))
    host = make_host(plugins=(module,))
    assert [p.name for p in host.plugins() if p.status == "active"] == ["good"]


FILES = {
    "error": (
        "import torch\n\nx = 1 / 0\n",
        "ZeroDivisionError: division by zero",
        ":3: x = 1 / 0",
    ),
    "syntax": ("import torch\ndef f(:\n", "SyntaxError: invalid syntax", ":2: def f(:"),
    "library": ("import no_such_library_here\n", "ModuleNotFoundError", ":1: import no_such"),
    "no hooks": ("x = 1\n", "it registers no hooks", "mine.py"),
    "typo": (
        "from rewrite import hookimpl\n@hookimpl\ndef rewrite_pases():\n    yield 1\n",
        "there is no hook 'rewrite_pases'",
        "mine.py:2",
    ),
    "hook": (
        "from rewrite import hookimpl\n@hookimpl\ndef rewrite_passes():\n    yield 1 / 0\n",
        "rewrite_passes: ZeroDivisionError: division by zero",
        ":4: yield 1 / 0",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_does_not_load_says_where(tmp_path, make_host, case):
    body, what, where = FILES[case]
    file = tmp_path / "mine.py"
    file.write_text(body)
    with pytest.raises(PluginError) as caught:
        make_host(plugins=(str(file),))
    assert what in caught.value.what
    assert where in caught.value.where
    assert str(file) in caught.value.where
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ("def rewrite_passes():\n    yield 1\n", "write @hookimpl above rewrite_passes"),
        (
            "from rewrite import Pass\nclass Mine(Pass):\n    name = 'mine'\n",
            "add: @hookimpl / def rewrite_passes(): yield Mine",
        ),
        ("import torch\n", "write a function such as rewrite_passes"),
    ],
)
def test_a_file_without_hooks_gets_a_helpful_hint(tmp_path, make_host, body, hint):
    file = tmp_path / "mine.py"
    file.write_text(body)
    with pytest.raises(PluginError) as caught:
        make_host().add_file(file)
    assert hint in caught.value.hint


def test_a_file_that_failed_can_be_mended_and_added_again(tmp_path, make_host):
    file = tmp_path / "mine.py"
    file.write_text("from rewrite import hookimpl\n@hookimpl\ndef rewrite_x():\n    pass\n")
    host = make_host()
    with pytest.raises(PluginError):
        host.add_file(file)
    file.write_text(textwrap.dedent(provider("mended")) + "# longer, so that no stale bytecode\n")
    host.add_file(file)
    assert "mended" in host.passes()


@pytest.mark.parametrize("given", ["./nothing.py", "no_such_module_here"])
def test_a_plugin_that_is_not_there_cannot_be_asked_for(make_host, given):
    with pytest.raises(PluginError) as caught:
        make_host(plugins=(given,))
    assert given.removeprefix("./") in str(caught.value)
    assert caught.value.hint


def test_observers_may_share_a_name(install, make_host):
    body = """
        from rewrite import PassObserver, hookimpl

        @hookimpl
        def rewrite_observers():
            yield PassObserver()
    """
    install("one", body)
    install("two", body)
    host = make_host()
    assert len(host.observers()) == 2
    assert info(host, "one").provides == {"observer": ("observer",)}
