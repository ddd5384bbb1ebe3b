"""Where targets put quantizers, as text."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rewrite_plugins.expand_attention import ExpandAttention
from rewrite_plugins.insert_quantizers import InsertQuantizers
from torch import nn

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


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.ConvTranspose2d(32, 8, 2), "it has 32 channels in and 8 out"),
        (
            nn.ConvTranspose2d(16, 64, 2, groups=2),
            "it has 8 channels in, in each of 2 groups, and 64 out",
        ),
        (nn.Conv2d(32, 64, 2, groups=4), "it has 8 channels in, in each of 4 groups, and 64 out"),
        (nn.ConvTranspose2d(64, 16, 2, groups=2), None),
        (nn.Conv2d(64, 16, 2, groups=2), None),
    ],
)
def test_channels_are_those_of_a_group_and_all_outputs(layer, reason):
    program = capture(layer.eval(), (torch.randn(1, layer.in_channels, 4, 4),))
    where = Context(target=HOST.find_target("tensorrt"))
    outcome = InsertQuantizers().run(program, where)
    told = f"{reason}: int8 kernels take 16 or more"
    assert [r.reason for r in outcome.rejected] == ([told] if reason else [])
