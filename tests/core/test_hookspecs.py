from __future__ import annotations

import inspect
import textwrap

import pytest

from rewrite import hookspecs
from rewrite.plugin_checks import KINDS

HOOKS = hookspecs.hook_names()


def example(hook: str) -> str:
    text = inspect.getdoc(getattr(hookspecs, hook)) or ""
    _, found, code = text.partition("Example:\n")
    assert found, f"{hook} has no example"
    return textwrap.dedent(code)


def test_every_hook_has_a_kind_and_every_kind_a_hook():
    assert sorted(HOOKS) == sorted(kind.hook for kind in KINDS.values())


@pytest.mark.parametrize("hook", HOOKS)
def test_the_summary_is_one_sentence(hook):
    first = (inspect.getdoc(getattr(hookspecs, hook)) or "").splitlines()[0]
    assert first.startswith("Yield ")
    assert first.endswith(".")


@pytest.mark.parametrize("hook", HOOKS)
def test_the_example_is_a_plugin_that_the_host_accepts(hook, tmp_path, make_host):
    file = tmp_path / f"{hook}.py"
    file.write_text(example(hook))
    host = make_host(plugins=(str(file),))
    plugin = next(p for p in host.plugins() if p.distribution == str(file))
    assert plugin.error is None
    assert plugin.hooks == (hook,)
    kind = next(k.noun for k in KINDS.values() if k.hook == hook)
    assert list(plugin.provides) == [kind]
    assert plugin.provides[kind][0]
