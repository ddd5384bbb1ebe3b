"""docs/targets.md: every key, kind and fault is there, and the facts it cites have their tests."""

import dataclasses
import re

import pytest

from rewrite import target, target_file
from rewrite.lint import RULES
from rewrite.plugin_host import PluginHost
from rewrite.quantization import kinds
from rewrite.quantization.spec import DTYPES, QuantSpec
from rewrite.runtimes import runtimes

from .console import check_block
from .pages import DOCS, ROOT, blocks, call

PAGE = DOCS / "targets.md"
TEXT = PAGE.read_text(encoding="utf-8")


def table(heading: str) -> dict[str, str]:
    """Return the first table under a heading: the other cells by each name in the first one."""
    part = TEXT.split(f"\n{heading}\n", 1)[1]
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", part.split("\n#", 1)[0], re.MULTILINE)
    return {name: rest for names, rest in rows for name in re.findall(r"`([\w-]+)`", names)}


def words(after: str) -> set[str]:
    sentence = TEXT.split(after, 1)[1].split(".\n", 1)[0].split(".", 1)[0]
    return set(re.findall(r"`([\w-]+)`", sentence))


def test_every_key_of_a_target():
    assert set(table("## Keys of a target file")) == target_file.KEYS


def test_every_key_of_a_spec():
    fields = {f.name.replace("_", "-") for f in dataclasses.fields(QuantSpec)} - {"name"}
    assert set(table("### [spec.NAME]")) == fields | {"range"}
    assert set(re.findall(r"`(u?int\d+)`", table("### [spec.NAME]")["dtype"])) == set(DTYPES)


def test_every_key_of_a_rule():
    assert set(table("### [op.KIND]")) == set(target_file.RULE_KEYS)
    assert len(target_file.RULE_KEYS) == len(dataclasses.fields(target.OpRule))
    assert all(f"\n- `{mode}`: " in TEXT for mode in target.MODES)


def test_every_rule_for_files():
    part = TEXT.split("\n## Rules for files\n", 1)[1].split("\n## ", 1)[0]
    listed = re.findall(r"^- (`[\w-]+`: (?:.|\n  )*)$", part, re.MULTILINE)
    expected = [f"`{rule.name}`: {rule.sentence} ({rule.source})" for rule in RULES.values()]
    assert [" ".join(entry.split()) for entry in listed] == expected


def seen(fault) -> str:
    return " to ".join(dict.fromkeys(fault.seen))


def test_every_known_bad_combination():
    part = TEXT.split("\n### Known bad combinations\n", 1)[1].split("\n## ", 1)[0]
    listed = re.findall(r"^- (`[\w-]+`: (?:.|\n  )*)$", part, re.MULTILINE)
    expected = [
        " ".join([f"`{f.name}`:", f.runtime, *f.versions.split(), f"{f.symptom}."])
        + f" The compiler {f.does}. Seen on {seen(f)}."
        for f in PluginHost().faults()
    ]
    assert [" ".join(entry.split()) for entry in listed] == expected


def test_every_kind_fault_and_runtime():
    assert words("\nKinds: ") == kinds.KINDS
    assert set(table("### Faults that can be avoided")) == set(target.AVOIDABLE)
    assert words("Runtimes are ") == {r.name for r in runtimes()}


def test_defaults():
    described, plain = table("## Keys of a target file"), target.Target("plain")
    for key in ("opset", "opset-range", "bias", "runtimes"):
        value = getattr(plain, key.replace("-", "_"))
        shown = described[key].rpartition(" | ")[2].strip("`").replace('"', "'")
        assert shown == str(list(value) if isinstance(value, tuple) else value)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\[?`(\w+_\w+)`[,\]]", TEXT))))
def test_the_tests_it_cites_exist(name):
    files = (ROOT / "tests" / "runtimes").glob("test_*.py")
    assert any(re.search(rf"def test_\w*{name}", file.read_text()) for file in files)


@pytest.mark.parametrize("name", ["portable", "ort-x64", "openvino"])
def test_what_it_says_of_all_three(name):
    found = PluginHost().find_target(name)
    activation, weight = found.spec("activation"), found.spec("weight")
    operand, probability = found.spec("operand"), found.spec("probability")
    assert (activation.dtype, activation.symmetric) == ("uint8", False)
    assert (weight.dtype, weight.qmin, weight.qmax, weight.per_channel) == ("int8", -127, 127, True)
    assert (operand.dtype, operand.symmetric) == ("int8", True)
    assert (probability.dtype, probability.symmetric, probability.scale) == ("uint8", False, None)
    assert found.producers == {"softmax": "probability"}
    assert found.ops["conv"].output and not found.ops["linear"].output
    assert {found.ops[k].mode for k in ("add", "concat", "average-pool")} == {"join"}
    assert found.opset == 20


def test_what_it_says_of_each():
    host = PluginHost()
    portable, ort, openvino = (host.find_target(n) for n in ("portable", "ort-x64", "openvino"))
    assert portable.bias == ort.bias == "int32"
    assert openvino.bias == "float32"
    assert (*portable.legalize, "space-to-depth") == ort.legalize
    assert {"lay-out-linear{form=gemm}", "flatten-tokens"} <= set(ort.legalize)
    assert "lay-out-linear{form=matmul}" in openvino.legalize
    assert set(ort.avoids) == {
        "float-relu-behind-product",
        "product-read-twice",
        "float-weight-quantized",
        "quantizer-moved-past-pool",
        "quantizer-moved-past-output",
        "silu-behind-dequantizer",
        "sixteen-bits-rounded",
    }
    shared = {
        "size-moved-to-conv",
        "zero-point-behind-concat",
        "product-without-bias",
        "reshape-of-scales",
        "norm-of-integers",
        "gather-of-scales",
        "boolean-in-arithmetic",
        "gelu-of-near-factors",
        "products-of-one-feature",
        "channels-behind-reduction",
        "product-read-again",
        "cast-input-given-out",
        "flat-volume-of-one-channel",
        "quotient-by-reciprocal",
        "integers-divided-as-floats",
    }
    both = {"quantizer-moved-past-output", "sixteen-bits-rounded"}
    assert set(openvino.avoids) == {*shared, *both, "squeezed-pool"}
    assert set(portable.avoids) == {*ort.avoids, *shared} - {"silu-behind-dequantizer"}
    assert openvino.ops["conv"].float_output and not portable.ops["conv"].float_output
    assert "mul" in ort.ops
    assert "mul" not in openvino.ops


def test_the_command_prints_what_it_says():
    for block in blocks(PAGE, "console"):
        check_block(PAGE, block, call)
