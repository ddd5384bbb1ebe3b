"""Every rule passes the file that keeps it and names the node of the one that breaks it."""

from __future__ import annotations

import onnx
import pytest

from rewrite import Target, UsageError
from rewrite.lint import RULES, lint, rules_of
from rewrite.plugin_host import PluginHost
from rewrite.quantization.spec import QuantSpec
from rewrite.target import OpRule

from .graphs import KEPT, MORE, PAIRS


def held_to(*rules: str) -> Target:
    """Return a target whose weights have the reduced range."""
    weight = QuantSpec("weight", "int8", -64, 64, symmetric=True, per_channel=True)
    ops = {"linear": OpRule({"weight": "weight"})}
    return Target("test", specs={"weight": weight}, ops=ops, rules=rules, source="test.toml")


def found(rule, graph, tmp_path):
    path = tmp_path / "file.onnx"
    model = graph.model()
    if hasattr(graph, "written_opset"):
        model.opset_import[0].version = graph.written_opset
    onnx.save(model, path)
    return lint(path, held_to(rule))


def test_every_rule_has_its_two_files():
    assert set(PAIRS) == set(RULES)


@pytest.mark.parametrize("rule", PAIRS)
def test_a_file_that_keeps_the_rule(rule, tmp_path):
    assert found(rule, PAIRS[rule].keeps(), tmp_path) == []


@pytest.mark.parametrize("rule", PAIRS)
def test_a_file_that_breaks_the_rule(rule, tmp_path):
    violations = found(rule, PAIRS[rule].breaks(), tmp_path)
    assert violations and {v.rule for v in violations} == {rule}
    assert any(PAIRS[rule].says in v.message for v in violations), violations
    assert all(v.node and v.source == RULES[rule].source for v in violations)


@pytest.mark.parametrize(("rule", "graph", "says"), MORE)
def test_other_ways_to_break_a_rule(rule, graph, says, tmp_path):
    violations = found(rule, graph(), tmp_path)
    assert any(says in v.message for v in violations), violations


@pytest.mark.parametrize(("rule", "graph"), KEPT)
def test_other_ways_to_keep_a_rule(rule, graph, tmp_path):
    assert found(rule, graph(), tmp_path) == []


def test_rules_say_what_they_want_and_where_it_is_written():
    for name, rule in RULES.items():
        assert rule.name == name
        assert rule.sentence.endswith(".") and rule.source


@pytest.mark.parametrize("name", PluginHost().targets())
def test_targets_name_rules_that_exist(name):
    assert rules_of(PluginHost().find_target(name)) is not None


def test_an_unknown_rule_names_the_file():
    with pytest.raises(UsageError, match="unknown rule 'zero-points'") as caught:
        rules_of(held_to("zero-points"))
    assert caught.value.where == "test.toml"


def test_no_file_and_no_onnx(tmp_path):
    with pytest.raises(UsageError, match="there is no file"):
        lint(tmp_path / "none.onnx", held_to("opset"))
    path = tmp_path / "text.onnx"
    path.write_text("this is no model")
    with pytest.raises(UsageError, match="is not an ONNX file"):
        lint(path, held_to("opset"))


def test_types_are_inferred_where_the_file_has_none(tmp_path):
    model = PAIRS["node-units"].breaks().model()
    del model.graph.value_info[:]
    onnx.save(model, tmp_path / "file.onnx")
    (violation,) = lint(tmp_path / "file.onnx", held_to("node-units"))
    assert violation.node == "sigmoid"
