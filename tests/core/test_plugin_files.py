from __future__ import annotations

import textwrap

import pytest

from rewrite import PluginError

from .plugin_source import info, provider


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
