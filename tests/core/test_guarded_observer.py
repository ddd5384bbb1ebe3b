"""Observers of plugins that raise: whose fault it is."""

from __future__ import annotations

import pytest

from rewrite import CheckError, PassObserver, PluginError
from rewrite.cli import main
from rewrite.guarded_observer import GuardedObserver

PLUGIN = """
from rewrite import PassObserver, hookimpl


class Watcher(PassObserver):
    name = "watcher"

    def {method}:
        raise ValueError("it broke")


@hookimpl
def rewrite_observers():
    yield Watcher()
"""
METHODS = ["before_pass(self, pass_, program)", "after_pass(self, pass_, program, outcome)"]


@pytest.mark.parametrize("method", METHODS)
def test_what_an_observer_raises_is_an_error_of_its_plugin(method, tmp_path, capsys):
    plugin = tmp_path / "watching.py"
    plugin.write_text(PLUGIN.format(method=method))
    command = ["zoo:resnet-digits", "--preset", "float", "--plugin", str(plugin), "--dry-run"]
    with pytest.raises(SystemExit) as exit_:
        main(command)
    assert exit_.value.code == 3
    told = capsys.readouterr().err
    assert f"error: observer 'watcher' (from {plugin}) failed: ValueError: it broke\n" in told
    assert f"  at: {plugin}:9: raise ValueError(" in told
    assert "internal error" not in told


def test_what_is_told_to_people_already_stays_as_it_is():
    class Strict(PassObserver):
        def before_pass(self, pass_, program):
            raise CheckError("too many calls")

    with pytest.raises(CheckError, match="too many calls"):
        GuardedObserver(Strict(), "mine 1.0").before_pass(None, None)


def test_an_installed_plugin_is_named_with_its_version():
    class Broken(PassObserver):
        name = "broken"

        def after_pass(self, pass_, program, outcome):
            raise KeyError("oops")

    with pytest.raises(PluginError, match=r"observer 'broken' \(from mine 1.0\) failed: KeyError"):
        GuardedObserver(Broken(), "mine 1.0").after_pass(None, None, None)
