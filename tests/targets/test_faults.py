"""Known bad combinations: which concern a target, and what the compiler does and says."""

from __future__ import annotations

import pytest
from integration.compiling import Warnings, compile_case

from rewrite import Fault, Target, UsageError
from rewrite.compile import rewrite_model
from rewrite.faults import matches, parse_faults, specs_by_role
from rewrite.pass_spec import parse_passes
from rewrite.plugin_host import PluginHost
from rewrite.request import Request
from rewrite.steering import choose_opset, faults_of, installed_versions, steer_specs
from rewrite.target import AVOIDABLE

from .nets import CASES

HOST = PluginHost()
KNOWN_VERSIONS = {"onnxruntime": "1.32.0", "openvino": "2026.4.1"}
KNOWN = {fault.name: fault for fault in HOST.faults()}


def extended(text: str) -> Target:
    return Target.parse(f'name = "mine"\n{text}', "mine.toml").resolved(HOST.targets())


@pytest.mark.parametrize(
    ("version", "conditions", "expected"),
    [
        ("1.31.1", ">=1.31", True),
        ("1.31.1", ">=1.31,<1.31.1", False),
        ("1.24.4", ">=1.31", False),
        ("1.4", "<1.31", True),
        ("1.31", "==1.31.0", True),
        ("2026.4.1-22982-e213a147257", ">=2026.1,<2027", True),
        ("1.31.1", "", True),
        ("", ">=9", True),
    ],
)
def test_versions(version, conditions, expected):
    assert matches(version, conditions) is expected


@pytest.mark.parametrize(
    ("version", "expected"),
    [("1.31.1", True), ("1.31.5", True), ("1.32", True), ("1.32.1", False), ("1.31", False)],
)
def test_the_range_that_a_fault_was_seen_on(version, expected):
    fault = Fault("mine", "onnxruntime", "does", seen=("1.31.1", "1.32.0"))
    assert fault.was_seen_on(version) is expected
    assert not Fault("mine", "onnxruntime", "does").was_seen_on(version)


def test_what_is_no_condition():
    with pytest.raises(UsageError, match="is no condition on versions"):
        matches("1.31", "~1.31")


def test_every_fault_that_can_be_avoided_is_known():
    assert {fault.avoid for fault in KNOWN.values() if fault.avoid} == set(AVOIDABLE)
    assert all(fault.source and fault.does for fault in KNOWN.values())


@pytest.mark.parametrize("name", HOST.targets())
def test_the_built_in_targets_need_no_steering(name):
    """What they say is what was found to work."""
    target, talk = HOST.find_target(name), Warnings()
    faults = faults_of(target, HOST.faults())
    assert steer_specs(target, faults, talk) is target
    assert choose_opset(None, target, faults, talk) == target.opset
    assert not talk.heard


def test_roles_of_specs():
    roles = specs_by_role(HOST.find_target("portable"))
    assert roles == {"activation": ["activation"], "weight": ["weight"], "operand": ["operand"]}
    assert specs_by_role(HOST.find_target("academic"))["weight"] == ["weight", "end-weight"]


@pytest.mark.parametrize(
    ("fault", "text", "spec", "expected"),
    [
        (
            "signed-activations-off-zero",
            'extends = "openvino"\nspec.activation.dtype = "int8"',
            "activation",
            ("int8", -128, 127, True),
        ),
        (
            "unsigned-weights",
            'extends = "openvino"\nspec.weight = {dtype = "uint8", range = [0, 255]}',
            "weight",
            ("int8", -127, 127, True),
        ),
        (
            "operands-off-zero",
            'extends = "openvino"\nspec.operand = {dtype = "uint8", symmetric = false}',
            "operand",
            ("int8", -128, 127, True),
        ),
        (
            "signed-activations-on-x86",
            'extends = "ort-x64"\nspec.activation.dtype = "int8"',
            "activation",
            ("uint8", 0, 255, False),
        ),
        (
            "unsigned-weights-on-x86",
            'extends = "ort-x64"\nspec.weight = {dtype = "uint8", range = [0, 255]}',
            "weight",
            ("int8", -127, 127, True),
        ),
    ],
)
def test_specs_are_steered_with_a_line(fault, text, spec, expected):
    target, talk = extended(text), Warnings()
    steered = steer_specs(target, [KNOWN[fault]], talk).spec(spec)
    assert (steered.dtype, steered.qmin, steered.qmax, steered.symmetric) == expected
    assert len(talk.heard) == 1
    assert KNOWN[fault].symptom in talk.heard[0] and f"[spec.{spec}]" in talk.heard[0]
    again = steer_specs(steer_specs(target, [KNOWN[fault]], Warnings()), [KNOWN[fault]], talk)
    assert len(talk.heard) == 1 and again.spec(spec) == steered


def test_what_other_machines_do_is_no_concern():
    arm = HOST.find_target("ort-arm64")
    assert not KNOWN["signed-activations-on-x86"].concerns(arm, "1.31.1")


def test_an_older_opset_is_written_with_a_line():
    talk = Warnings()
    target = extended('extends = "ort-x64"\nopset = 21\nopset-range = [17, 21]')
    faults = [f for f in HOST.faults() if f.concerns(target, "1.31.1")]
    assert choose_opset(None, target, faults, talk) == 20
    (line,) = talk.heard
    assert KNOWN["signed-operands-from-opset-21"].symptom in line
    assert line.endswith("opset 20 instead of 21")
    older = [f for f in HOST.faults() if f.concerns(target, "1.24.4")]
    assert choose_opset(None, target, older, talk) == 21


def test_an_opset_that_was_asked_for_is_written_with_a_warning():
    talk = Warnings()
    target = extended('extends = "ort-x64"\nopset-range = [17, 21]')
    faults = [KNOWN["signed-operands-from-opset-21"]]
    assert choose_opset(21, target, faults, talk) == 21
    assert talk.heard[0].endswith("opset 21 was asked for")


def test_a_target_with_one_opset_keeps_it():
    target = extended('extends = "ort-x64"\nopset = 21\nopset-range = [21, 21]')
    talk = Warnings()
    assert choose_opset(None, target, [KNOWN["signed-operands-from-opset-21"]], talk) == 21
    assert not talk.heard


@pytest.mark.parametrize(("model", "said"), [("vit-digits", 1), ("resnet-digits", 0)])
def test_types_that_no_opset_suits_are_told_where_they_are(model, said, monkeypatch):
    """Before the passes have run nobody knows whether there are operands of that type."""
    target = extended('extends = "ort-x64"\nopset = 21\nopset-range = [21, 21]')
    monkeypatch.setattr(PluginHost, "find_target", lambda self, name: target)
    fault = Fault(
        "operands",
        runtime="onnxruntime",
        symptom="hates operands",
        opset=(21, 25),
        role="operand",
        spec={"dtype": "int8"},
    )
    monkeypatch.setattr(PluginHost, "faults", lambda self: [fault])
    talk = Warnings()
    rewrite_model(Request(f"zoo:{model}", preset="int8", checks="off"), HOST, talk)
    lines = [line for line in talk.heard if "hates operands" in line]
    assert len(lines) == said
    assert all(line.endswith("no opset of target 'mine' avoids it") for line in lines)


def test_an_opset_outside_the_range_tells_why():
    target = HOST.find_target("portable")
    with pytest.raises(UsageError, match="opset 21 does not suit target 'portable'") as caught:
        choose_opset(21, target, [KNOWN["signed-operands-from-opset-21"]], Warnings())
    assert caught.value.hint.startswith("use 17 to 20; onnxruntime ")
    assert caught.value.hint.endswith(KNOWN["signed-operands-from-opset-21"].symptom)


@pytest.mark.parametrize("about", [{}, {"role": "weight"}, {"role": "operand"}])
def test_a_fault_that_no_opset_avoids_is_told(about):
    target, talk = HOST.find_target("ort-x64"), Warnings()
    fault = Fault("everywhere", "onnxruntime", "explodes everywhere", opset=(10, 30), **about)
    assert choose_opset(None, target, [fault], talk) == target.opset
    version = installed_versions(target)["onnxruntime"]
    assert talk.heard == [
        f"onnxruntime {version} explodes everywhere: no opset of target 'ort-x64' avoids it"
    ]


def test_installed_versions_are_those_of_the_targets_runtimes():
    assert set(installed_versions(HOST.find_target("ort-x64"))) == {"onnxruntime"}
    assert installed_versions(HOST.find_target("tensorrt")) == {}


def test_compiling_steers(tmp_path, monkeypatch):
    target = extended('extends = "ort-x64"\nopset = 21\nopset-range = [17, 21]')
    monkeypatch.setattr(PluginHost, "find_target", lambda self, name: target)
    talk = Warnings()
    result = compile_case(CASES["block"], tmp_path, talk=talk, target="mine")
    assert result.opset == result.artifact.opset == 20
    assert any("opset 20 instead of 21" in line for line in talk.heard)


@pytest.mark.parametrize(
    ("bits", "target", "said"),
    [
        ("w8a16", "openvino", True),
        ("w8a16", "ort-x64", False),
        ("w8a8", "openvino", False),
    ],
)
def test_sixteen_bits_on_openvino_are_told(bits, target, said, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "rewrite.steering.installed_versions",
        lambda target: {name: KNOWN_VERSIONS[name] for name in target.runtimes},
    )
    passes = tuple(parse_passes(f"insert-quantizers{{bits={bits}}},calibrate"))
    request = {"target": target, "passes": passes, "checks": "report"}
    talk = Warnings()
    compile_case(CASES["gates"], tmp_path, None, talk, **request)
    lines = [line for line in talk.heard if "16-bit activations in float" in line]
    assert bool(lines) is said and len(lines) <= 1


def test_a_third_party_adds_one(tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from pathlib import Path\n"
        "from rewrite import hookimpl\n"
        "from rewrite.faults import parse_faults\n\n\n"
        "@hookimpl\n"
        "def rewrite_faults():\n"
        "    yield from parse_faults(Path(__file__).with_suffix('.toml').read_text())\n"
    )
    plugin.with_suffix(".toml").write_text(
        '[[fault]]\nname = "mine"\nruntime = "onnxruntime"\nsymptom = "does"\nopset = [20, 20]\n'
    )
    host = PluginHost(plugins=[str(plugin)])
    target = host.find_target("portable")
    assert choose_opset(None, target, faults_of(target, host.faults()), Warnings()) == 19


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[[fault]", "not valid TOML"),
        ('[[fault]]\nname = "a"', "a fault needs a runtime"),
        ('[[fault]]\nruntimes = "a"', "unknown key of a fault 'runtimes'"),
        ("{}\nrole = 'weights'", "unknown role of a spec 'weights'"),
        ("{}\navoid = 'a'", "unknown fault to avoid 'a'"),
        ("{}\nopset = 21", "opset of a fault is 21, not a list"),
        ("{}\nseen = '1.31'", "seen of a fault is '1.31', not a list"),
        ("{}\nseen = [1.31, 1.32]", "seen of a fault: not a list of text"),
        ("{}\nversions = '1'", "'1' is no condition on versions"),
        ("{}\nuse = {dtypes = 'int8'}", r"unknown key of \[spec.use\] 'dtypes'"),
    ],
)
def test_mistakes_are_named(text, what):
    complete = '[[fault]]\nname = "a"\nruntime = "openvino"\nsymptom = "c"'
    with pytest.raises(UsageError, match=what):
        parse_faults(text.replace("{}", complete, 1), "faults.toml")


def test_a_fault_without_conditions_concerns_every_file():
    target = HOST.find_target("ort-x64")
    assert Fault("a", "onnxruntime", "b").concerns(target, "1.0")
    assert not Fault("a", "openvino", "b").concerns(target, "1.0")


def test_another_type_comes_with_its_own_integers():
    """[0, 255] stored in int8 would be cut at -1 instead of 255."""
    signed = Fault(
        "signed",
        runtime="onnxruntime",
        symptom="hates it",
        role="activation",
        spec={"dtype": "uint8"},
        use={"dtype": "int8", "symmetric": True},
    )
    steered = steer_specs(HOST.find_target("ort-x64"), [signed], Warnings())
    found = steered.spec("activation")
    assert (found.dtype, found.qmin, found.qmax, found.symmetric) == ("int8", -128, 127, True)


def test_a_range_that_the_type_does_not_hold_is_an_error():
    wide = Fault("wide", "onnxruntime", "hates it", role="activation", use={"range": [0, 300]})
    with pytest.raises(UsageError, match=r"range \[0, 300\] does not fit uint8") as error:
        steer_specs(HOST.find_target("ort-x64"), [wide], Warnings())
    assert error.value.where == "fault 'wide': use"
