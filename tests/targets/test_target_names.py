"""Names in a target that others provide are looked up as soon as the target is."""

from __future__ import annotations

import pytest

from rewrite import PluginError, UsageError
from rewrite.plugin_host import PluginHost


@pytest.fixture
def written(plugin):
    """Return a function that gives the plugin's target some keys."""

    def write(keys: str) -> str:
        plugin.with_suffix(".toml").write_text(f'name = "mine"\nextends = "ort-x64"\n{keys}')
        return str(plugin)

    return write


@pytest.mark.parametrize(
    ("keys", "what", "hint"),
    [
        ('rules = ["static-shape"]', "unknown rule 'static-shape'", "'static-shapes'"),
        ('runtimes = ["onnxruntim"]', "unknown runtime 'onnxruntim'", "'onnxruntime'"),
        ('prepare = ["limit-mask"]', "unknown pass 'limit-mask'", "'limit-masks'"),
        ('legalize = ["flaten-tokens"]', "unknown pass 'flaten-to", "'flatten-tokens'"),
        ('prepare = ["split-activations{of=selu}"]', "'selu'", "'silu'"),
        ('legalize = ["lay-out-linear{form=gem}"]', "'gem'", "'gemm'"),
        ('legalize = ["lay-out-linear{fom=gemm}"]', "'fom'", "'form'"),
        ('legalize = ["lay-out-linear{"]', "expected a closing '}'", None),
    ],
)
def test_a_name_that_is_not_there(keys, what, hint, written, tmp_path):
    with pytest.raises(UsageError) as caught:
        PluginHost(plugins=[written(keys)])
    error = caught.value
    assert what in error.what, error.what
    file = str(tmp_path / "mine.toml")
    assert error.where == (f"{file}: {keys}" if "lega" in keys or "prep" in keys else file)
    assert hint is None or hint in error.hint


def test_what_is_there_is_taken(written):
    host = PluginHost(plugins=[written('legalize = ["lay-out-linear{form=matmul}"]\nrules = []')])
    assert host.find_target("mine").legalize == ("lay-out-linear{form=matmul}",)


def test_the_error_of_a_file_keeps_its_place_and_hint(written, tmp_path):
    with pytest.raises(PluginError, match=r'opset is "20", not a whole number') as caught:
        PluginHost(plugins=[written('opset = "20"')])
    assert "UsageError" not in caught.value.what
    assert caught.value.where == str(tmp_path / "mine.toml")
    assert caught.value.hint == "opset = 20"


@pytest.mark.parametrize("name", PluginHost().targets())
def test_built_in_targets_name_what_is_there(name):
    assert PluginHost().find_target(name).name == name
