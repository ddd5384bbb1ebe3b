from __future__ import annotations

import sys
import textwrap

import pytest

from rewrite import PluginError, UsageError

from .plugin_source import info, provider


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


def test_a_file_that_clashes_is_to_be_renamed(install, make_host, tmp_path):
    install("one", provider("idle"), distribution="dist-one")
    file = tmp_path / "mine.py"
    file.write_text(textwrap.dedent(provider("idle")))
    with pytest.raises(UsageError) as caught:
        make_host(plugins=(str(file),)).passes()
    assert caught.value.hint == f"give yours another name, or leave out --plugin {file}"


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
