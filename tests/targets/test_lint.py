"""Every rule passes the file that keeps it and names the node of the one that breaks it."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from rewrite import Target, UsageError
from rewrite.lint import RULES, lint, rules_of
from rewrite.plugin_host import PluginHost
from rewrite.quantization.spec import QuantSpec
from rewrite.target import OpRule

from .graphs import KEPT, MORE, PAIRS, conv


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
    path.write_bytes(b"")
    with pytest.raises(UsageError, match="is not an ONNX file: it holds no graph"):
        lint(path, held_to("opset"))
    with pytest.raises(UsageError, match="is a folder"):
        lint(tmp_path, held_to("opset"))


def in_two_files(folder, *, typed: bool = True):
    """Write a file whose weights lie in another one; without types they are inferred."""
    model = conv().model()
    if not typed:
        del model.graph.value_info[:]
    folder.mkdir()
    path = folder / "file.onnx"
    onnx.save(model, path, save_as_external_data=True, location="file.data", size_threshold=0)
    return path


@pytest.mark.parametrize("typed", [True, False])
def test_data_is_read_beside_the_file(typed, tmp_path, monkeypatch):
    path = in_two_files(tmp_path / "there", typed=typed)
    monkeypatch.chdir(tmp_path)
    assert lint(path, held_to("weight-range"))[0].node == "conv"
    monkeypatch.chdir(path.parent)
    assert lint(Path(path.name), held_to("weight-range"))[0].node == "conv"


def test_data_that_is_missing_or_cut_is_named(tmp_path):
    path = in_two_files(tmp_path / "there")
    data = path.with_name("file.data")
    whole = data.read_bytes()
    data.write_bytes(whole[:-1])
    with pytest.raises(UsageError, match=rf"file.data' ends at byte {len(whole) - 1}"):
        lint(path, held_to("opset"))
    data.unlink()
    with pytest.raises(UsageError, match=r"there is no file '.*there/file.data'") as caught:
        lint(path, held_to("opset"))
    assert caught.value.exit_code == 2 and caught.value.where.startswith("tensor '")
    (tmp_path / "file.data").write_bytes(whole)
    data.symlink_to(tmp_path / "file.data")
    with pytest.raises(UsageError, match=r"lie outside of its folder, in 'file\.data'"):
        lint(path, held_to("opset"))


@pytest.mark.parametrize("bias", ["int32", "float"])
def test_openvino_takes_either_bias(bias, tmp_path):
    onnx.save(conv(bias=bias).model(), tmp_path / "file.onnx")
    assert lint(tmp_path / "file.onnx", PluginHost().find_target("openvino")) == []


def test_types_are_inferred_where_the_file_has_none(tmp_path):
    model = PAIRS["node-units"].breaks().model()
    del model.graph.value_info[:]
    onnx.save(model, tmp_path / "file.onnx")
    (violation,) = lint(tmp_path / "file.onnx", held_to("node-units"))
    assert violation.node == "sigmoid"
