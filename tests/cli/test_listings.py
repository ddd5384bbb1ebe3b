"""passes, plugins, targets, zoo and new-plugin."""

import pytest

from .conftest import call

BROKEN = "import there_is_no_such_module\n"
GOOD = '''
from rewrite import Outcome, Pass, hookimpl, option
from dataclasses import dataclass


@dataclass(frozen=True)
class Sleep(Pass):
    """Do nothing, slowly."""

    name = "sleep"
    equivalence = "exact"
    requires = ("remove-dead-code",)

    naps: int = option(3, help="How many.", low=1, high=9)

    def run(self, program, context):
        return Outcome()


@hookimpl
def rewrite_passes():
    yield Sleep
'''


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "sleepy.py"
    path.write_text(GOOD)
    return path


def test_passes_lists_every_pass_and_preset():
    value = call("passes", "--json").json
    by_name = {p["name"]: p for p in value["passes"]}
    fold = by_name["fold-batch-norm"]
    assert fold["equivalence"] == "exact"
    assert fold["distribution"].startswith("rewrite-compiler ")
    assert fold["summary"]
    assert {"float", "int8"} <= {p["name"] for p in value["presets"]}


def test_passes_table_has_one_line_per_pass():
    lines = call("passes").out.splitlines()
    assert lines[0].split() == ["pass", "equivalence", "from", "summary"]
    assert sum(line.startswith("fold-batch-norm ") for line in lines) == 1
    assert not any(line.endswith(" ") for line in lines)


def test_one_pass_with_its_options():
    value = call("passes", "calibrate", "--json").json
    assert value["requires"] == ["insert-quantizers"]
    percentile = next(o for o in value["options"] if o["name"] == "percentile")
    assert percentile["type"] == "float"
    assert percentile["default"] == 99.99
    assert (percentile["low"], percentile["high"]) == (50, 100)
    assert percentile["help"]


def test_one_pass_of_a_plugin_file(plugin):
    called = call("passes", "sleep", "--plugin", plugin)
    assert called.out.splitlines() == [
        f"sleep (exact), from {plugin}",
        "",
        "Do nothing, slowly.",
        "",
        "requires: remove-dead-code",
        "option  type  default  range   help",
        "naps    int   3        1 to 9  How many.",
        "",
        "write: --passes sleep{naps=...}",
    ]


def test_a_plugin_file_that_does_not_import_is_told(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text(BROKEN)
    called = call("passes", "--plugin", path)
    assert called.code == 3
    assert called.error[0].startswith("error: plugin broken.py does not load: ModuleNotFoundError")
    assert called.error[1] == f"  at: {path}:1: import there_is_no_such_module"
    assert len(called.error) == 3


def test_plugins_lists_source_status_and_what_they_provide(plugin):
    value = {p["name"]: p for p in call("plugins", "--plugin", plugin, "--json").json}
    assert value["builtin"]["status"] == "active"
    assert value["builtin"]["distribution"] == "rewrite-compiler"
    assert "fold-batch-norm" in value["builtin"]["provides"]["pass"]
    assert value["sleepy"]["provides"] == {"pass": ["sleep"]}


def test_a_blocked_plugin_is_shown_as_blocked():
    called = call("plugins", "--block", "zoo")
    row = next(line for line in called.out.splitlines() if line.startswith("zoo "))
    assert row.split()[3:] == ["blocked", "-"]
    assert call("plugins", "--block", "zo").error[-1] == "  hint: did you mean 'zoo'?"


def test_targets_and_one_target():
    value = {t["name"]: t for t in call("targets", "--json").json}
    assert {"portable", "ort-x64", "openvino"} <= set(value)
    one = call("targets", "portable", "--json").json
    assert one == value["portable"]
    assert one["specs"]["weight"]["per_channel"] is True
    assert call("targets", "portable").out.startswith("portable: ")


@pytest.mark.parametrize(
    ("target", "operator", "output"),
    [
        ("openvino", "add", "activation"),
        ("openvino", "max-pool", "as the input"),
        ("tensorrt", "conv", "float, 16 channels or more"),
    ],
)
def test_a_target_tells_what_its_rules_ask_for(target, operator, output):
    lines = call("targets", target).out.splitlines()
    (told,) = [line for line in lines if line.split()[:1] == [operator]]
    assert told.endswith(f"  {output}")


def test_zoo_tells_accuracy_size_and_source():
    value = {m["name"]: m for m in call("zoo", "--json").json}
    model = value["zoo:vit-digits"]
    assert model["metrics"]["accuracy"] >= 97
    assert model["bytes"] > 0
    assert "arXiv" in model["source"]
    assert call("zoo").out.splitlines()[0].split()[0] == "model"


def test_new_plugin_writes_a_package(tmp_path):
    called = call("new-plugin", "fold-twice", "--dir", tmp_path, "--json")
    assert called.code == 0, called.err
    assert called.json["path"] == str(tmp_path / "fold-twice")
    assert "pyproject.toml" in called.json["files"]
    again = call("new-plugin", "fold-twice", "--dir", tmp_path)
    assert again.code == 2
    assert again.error[0] == "error: the folder 'fold-twice' is there already, and not empty"
