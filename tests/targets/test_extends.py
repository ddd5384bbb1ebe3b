"""A target extends another, from wherever that one comes."""

from __future__ import annotations

import pytest

from rewrite import Target, UsageError
from rewrite.plugin_host import PluginHost

BASE = """
name = "base"
summary = "The base."
opset = 19
absorbs = ["relu"]

[spec.activation]
dtype = "uint8"

[spec.weight]
dtype = "int8"
symmetric = true
per-channel = true

[op.conv]
inputs = { input = "activation", weight = "weight" }
output = "activation"

[op.add]
mode = "join"
inputs = { self = "activation", other = "activation" }
output = "activation"

[producer]
softmax = "activation"
"""


def resolved(*texts: str) -> Target:
    """Return the last of some targets, resolved among all of them."""
    targets = [Target.parse(text, f"file-{i}.toml") for i, text in enumerate((BASE, *texts))]
    return targets[-1].resolved({t.name: t for t in targets})


def test_tables_are_merged_key_by_key():
    target = resolved(
        """
        name = "mine"
        extends = "base"
        absorbs = ["clip"]
        spec.activation.symmetric = true
        op.conv.inputs.weight = "activation"
        """
    )
    assert (target.name, target.summary, target.opset) == ("mine", "The base.", 19)
    assert target.extends == "base"
    assert target.source == "file-1.toml"
    assert target.absorbs == ("clip",)
    activation = target.spec("activation")
    assert (activation.dtype, activation.symmetric) == ("uint8", True)
    assert target.ops["conv"].inputs == {"input": "activation", "weight": "activation"}
    assert target.ops["conv"].output == "activation"


def test_rules_are_left_out():
    target = resolved(
        """
        name = "mine"
        extends = "base"
        without = ["op.conv.output", "producer"]
        [op]
        add = false
        """
    )
    assert set(target.ops) == {"conv"}
    assert target.ops["conv"].output is None
    assert not target.producers


def test_a_chain_of_three():
    middle = 'name = "middle"\nextends = "base"\nopset = 20\n[op]\nadd = false'
    target = resolved(middle, 'name = "mine"\nextends = "middle"\nspec.activation.dtype = "int8"')
    assert (target.opset, target.spec("activation").dtype) == (20, "int8")
    assert set(target.ops) == {"conv"}


def test_the_base_is_left_as_it_was():
    base = Target.parse(BASE, "base.toml")
    mine = Target.parse('name = "mine"\nextends = "base"\nspec.activation.dtype = "int8"')
    mine.resolved({"base": base})
    assert base.resolved({}) == Target.parse(BASE, "base.toml")
    assert base.spec("activation").dtype == "uint8"


def test_what_is_resolved_stays_so():
    target = resolved('name = "mine"\nextends = "base"\nwithout = ["op.add"]')
    assert target.resolved({}) is target


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('extends = "bass"', "unknown target to extend 'bass'"),
        ('extends = "mine"', "targets extend one another in a circle: mine -> mine"),
        ('extends = "base"\nwithout = ["op.cov"]', "unknown entry to leave out 'op.cov'"),
        ('extends = "base"\n[op]\nmul = false', "unknown entry to leave out 'op.mul'"),
        ('extends = "base"\nwithout = ["spec.weight"]', "unknown quantization spec 'weight'"),
        ('without = ["op.add"]', "`without` is for targets that extend another"),
        ('extends = "base"\nextend = "base"', "unknown key of a target 'extend'"),
        ('extends = "base"\nbias = "int16"', "unknown type of a bias 'int16'"),
        ('extends = "base"\nfloat16 = "half"', "unknown use of float16 'half'"),
        ("[op]\nadd = false", r"\[op.add\] is no table"),
    ],
)
def test_mistakes_name_the_file(text, what):
    with pytest.raises(UsageError, match=what) as caught:
        resolved(f'name = "mine"\n{text}')
    assert caught.value.where == "file-1.toml"


def test_a_longer_circle():
    with pytest.raises(UsageError, match="circle: mine -> other -> mine"):
        resolved('name = "other"\nextends = "mine"', 'name = "mine"\nextends = "other"')


def test_a_target_made_in_python_cannot_be_extended():
    mine = Target.parse('name = "mine"\nextends = "plain"', "mine.toml")
    with pytest.raises(UsageError, match="was not read from a file") as caught:
        mine.resolved({"plain": Target("plain")})
    assert caught.value.where == "mine.toml"


def test_a_third_party_extends_a_built_in_target(plugin):
    plugin.with_suffix(".toml").write_text(
        'name = "mine"\nextends = "ort-x64"\n[spec.weight]\nrange = [-64, 64]\n'
    )
    host = PluginHost(plugins=[str(plugin)])
    mine, base = host.find_target("mine"), host.find_target("ort-x64")
    assert host.targets()["mine"] == mine
    assert (mine.spec("weight").qmin, mine.spec("weight").qmax) == (-64, 64)
    assert mine.ops == base.ops and mine.legalize == base.legalize
    assert host.origin("target", "mine") == str(plugin)


def test_a_broken_one_that_was_asked_for_says_so(plugin):
    path = plugin.with_suffix(".toml")
    path.write_text('name = "mine"\nextends = "ort-x86"\n')
    with pytest.raises(UsageError, match="unknown target to extend 'ort-x86'") as caught:
        PluginHost(plugins=[str(plugin)])
    assert caught.value.where == str(path)
    assert caught.value.hint == "did you mean 'ort-x64'?"


def test_a_broken_one_leaves_the_others_alone(plugin):
    plugin.with_suffix(".toml").write_text('name = "mine"\nextends = "ort-x86"\n')
    host = PluginHost()
    host.add(str(plugin))
    assert "mine" not in host.targets() and "portable" in host.targets()
    (broken,) = [p for p in host.plugins() if p.status == "broken"]
    assert "unknown target to extend 'ort-x86'" in (broken.error or "")
    with pytest.raises(UsageError, match="ort-x86"):
        host.find_target("mine")
