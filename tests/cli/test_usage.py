"""Wrong usage: exit code 2, three lines, a suggestion; never a traceback."""

import importlib
import subprocess
import sys

import pytest

import rewrite
from rewrite.cli import docs

from .conftest import call

HELP_SECONDS = 1.0
"""Of the processor, whatever else the machine does; importing torch alone takes more."""

HEAVY = ("torch", "onnx", "onnx_ir", "onnxruntime", "openvino")


def test_help_is_quick_and_needs_no_torch():
    code = f"import sys, time, rewrite.cli; print([m for m in {HEAVY} if m in sys.modules]); "
    code += "print(time.process_time())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, seconds = done.stdout.splitlines()
    assert loaded == "[]"
    assert float(seconds) < HELP_SECONDS


def test_public_names_are_all_there():
    assert set(rewrite._HOMES) == set(rewrite.__all__)
    for name in rewrite.__all__:
        home = importlib.import_module(f"rewrite.{rewrite._HOMES[name]}")
        assert getattr(rewrite, name) is getattr(home, name)
    with pytest.raises(AttributeError, match="no attribute 'Programm'"):
        _ = rewrite.Programm


def test_help_and_version():
    called = call("--help")
    assert called.code == 0
    assert called.out.startswith("Usage: rewrite MODEL [OPTIONS]\n       rewrite COMMAND")
    assert call().out == called.out
    assert call("--version").out == f"rewrite {rewrite.__version__}\n"


def test_cli_page_is_up_to_date(pytestconfig):
    page = pytestconfig.rootpath / "docs" / "cli.md"
    assert page.read_text() == docs.page(), "run: make docs"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (
            ["passses"],
            ["error: unknown command 'passses'", "  hint: did you mean 'rewrite passes'?"],
        ),
        (
            ["vit"],
            [
                "error: unknown command 'vit'",
                "  hint: a model is path/model.py or zoo:NAME; for the commands: rewrite --help",
            ],
        ),
        (
            ["zoo", "--jsn"],
            [
                "error: unknown option '--jsn'",
                "  at: rewrite zoo",
                "  hint: did you mean '--json'?",
            ],
        ),
        (
            ["--pases", "x", "m.py"],
            [
                "error: unknown option '--pases'",
                "  at: rewrite run",
                "  hint: did you mean '--passes'?",
            ],
        ),
        (
            ["--json", "passes"],
            ["error: options go behind the command", "  hint: rewrite passes --json"],
        ),
        (
            ["check", "x.onnx"],
            [
                "error: check the file against what?",
                "  hint: --against MODEL, or --target NAME",
            ],
        ),
        (
            ["m.py", "--require-int8", "lots"],
            [
                "error: invalid value for '--require-int8': 'lots' is not a percentage, like 95%",
                "  at: rewrite run",
                "  hint: see: rewrite run --help",
            ],
        ),
    ],
)
def test_usage_errors(arguments, error):
    called = call(*arguments)
    assert called.code == 2
    assert called.error == error


def test_errors_are_json_too():
    called = call("passses", "--json")
    assert called.json == {
        "error": {
            "what": "unknown command 'passses'",
            "where": None,
            "hint": "did you mean 'rewrite passes'?",
            "exit_code": 2,
        }
    }
    assert called.error[0] == "error: unknown command 'passses'"


def test_verbose_adds_the_traceback():
    called = call("passes", "fold-batchnorm", "-v")
    assert called.err.startswith("Traceback (most recent call last):")
    assert called.error[0] == "error: unknown pass 'fold-batchnorm'"
    assert "Traceback" not in call("passes", "fold-batchnorm").err


def test_the_output_must_be_named(tiny):
    called = call(tiny, "--preset", "int8")
    assert called.code == 2
    assert called.error == [
        "error: where shall the file go?",
        "  hint: -o tiny.onnx, or --dry-run to write nothing",
    ]


def test_diff_and_explain_need_passes(tiny):
    assert call("show", tiny, "--diff").code == 2
    assert call("explain", tiny).code == 2


def test_an_internal_error_asks_for_a_report(monkeypatch):
    from rewrite.plugin_host import PluginHost

    monkeypatch.setattr(PluginHost, "models", lambda self: 1 / 0)
    called = call("zoo")
    assert called.code == 1
    assert called.error[0] == "error: internal error: ZeroDivisionError: division by zero"
    assert (
        called.error[-1]
        == "  hint: this is a bug of rewrite: run with -v and report what it prints"
    )
