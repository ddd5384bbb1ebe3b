"""Faults that a plugin makes by hand: what cannot be is named, with the plugin's line."""

from __future__ import annotations

import pytest

from rewrite import Fault, PluginError, UsageError
from rewrite.plugin_host import PluginHost


@pytest.mark.parametrize(
    ("wrong", "what", "hint"),
    [
        ({"runtime": "onnxrumtime"}, "unknown runtime 'onnxrumtime'", "mean 'onnxruntime'?"),
        ({"role": "weigth"}, "unknown role of a spec 'weigth'", "mean 'weight'?"),
        ({"avoid": "product-read-twise"}, "unknown fault to avoid", "mean 'product-read-twice'?"),
        ({"opset": (20, 19)}, "opset (20, 19) is no range", "from and to: (21, 25)"),
        ({"opset": (20,)}, "opset (20,) is no range", "from and to: (21, 25)"),
        ({"versions": "~1"}, "'~1' is no condition on versions", "such as >=1.31,<1.40"),
        ({"seen": ("1.31",)}, "seen ('1.31',) is no range", "from and to: ("),
        ({"seen": ("1.31", "new")}, "seen ('1.31', 'new') is no range", "from and to: ("),
        ({"seen": ("1.32", "1.31")}, "seen ('1.32', '1.31') is no range", "the older version"),
        (
            {"versions": ">=1.32", "seen": ("1.31", "1.33")},
            "it was seen on 1.31, where it is not avoided",
            "versions >=1.32: widen it",
        ),
        ({"spec": {"dtyp": "int8"}}, "unknown key of [spec.spec] 'dtyp'", "mean 'dtype'?"),
        (
            {"role": "weight", "use": {"rnge": [0, 1]}},
            "unknown key of [spec.use] 'rnge'",
            "mean 'range'?",
        ),
        ({"use": {"symmetric": True}}, "it changes the specs of no role", "role: activation,"),
        (
            {"role": "weight", "use": {"symmetric": True}, "opset": (21, 25)},
            "it changes an opset and a type",
            "leave out opset, or use",
        ),
        (
            {"role": "weight", "spec": {"dtype": "int8"}, "use": {"range": [0, 255]}},
            "[spec.use] range [0, 255] does not fit int8",
            "int8 holds -128 to 127",
        ),
    ],
)
def test_mistakes_in_a_fault_made_by_hand_are_named(wrong, what, hint):
    with pytest.raises(UsageError) as error:
        Fault(**{"name": "mine", "runtime": "openvino", "symptom": "does", **wrong})
    assert error.value.what.startswith(f"fault 'mine': {what}")
    assert hint in error.value.hint


def test_a_plugin_with_a_wrong_fault_is_told_with_its_line(tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from rewrite import Fault, hookimpl\n\n\n"
        "@hookimpl\n"
        "def rewrite_faults():\n"
        "    yield Fault('mine', 'onnxrumtime', 'does')\n"
    )
    with pytest.raises(PluginError, match="fault 'mine': unknown runtime 'onnxrumtime'") as error:
        PluginHost(plugins=[str(plugin)])
    assert error.value.where.startswith(f"{plugin}:6")
    assert error.value.hint == "did you mean 'onnxruntime'?"
