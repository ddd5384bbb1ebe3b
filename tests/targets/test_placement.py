"""Where targets put quantizers, as text."""

from __future__ import annotations

from pathlib import Path

import pytest
from rewrite_plugins.expand_attention import ExpandAttention
from rewrite_plugins.insert_quantizers import InsertQuantizers

from rewrite import Context, capture
from rewrite.pipeline import run_passes
from rewrite.plugin_host import PluginHost
from rewrite.testing import check_pass

from .nets import CASES

GOLDEN = Path(__file__).parent / "golden"
HOST = PluginHost()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["openvino", "tensorrt", "qnn", "vitis", "academic"])
def test_placement(name, case):
    model, inputs, _ = CASES[case].make()
    captured = capture(model.eval(), tuple(inputs.values()))
    program = run_passes(captured, [ExpandAttention()], Context()).program
    check_pass(
        InsertQuantizers(),
        program,
        golden=GOLDEN / f"{case}-{name}.txt",
        context=Context(target=HOST.find_target(name)),
    )
