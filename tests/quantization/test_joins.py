"""Layers behind joins of unlike ranges stay float, where rounding would lose their results."""

from __future__ import annotations

import pytest
import torch
from rewrite_plugins.insert_quantizers import InsertQuantizers
from torch import nn

from rewrite import Context, capture
from rewrite.plugin_host import PluginHost

HOST = PluginHost()
IMAGE = torch.randn(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))


class Joined(nn.Module):
    """A gate beside features that are larger by a factor, which the reader may undo."""

    def __init__(self, factor: float, undone: bool):
        super().__init__()
        self.gate, self.wide = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3)
        self.mix = nn.Conv2d(16, 8, 1)
        with torch.no_grad():
            self.wide.weight.mul_(factor)
            if undone:
                self.mix.weight[:, 8:].div_(factor)

    def forward(self, x):
        joined = torch.cat((self.gate(x).sigmoid(), self.wide(x).relu()), 1)
        return self.mix(torch.relu(joined))


def rejected(module, x, target="portable", calibration=None, **options) -> dict[str, str]:
    torch.manual_seed(0)
    context = Context(target=HOST.find_target(target), calibration=calibration)
    program = capture(module.eval(), x if isinstance(x, tuple) else (x,))
    outcome = InsertQuantizers(**options).run(program, context)
    return {each.node: each.reason for each in outcome.rejected}


def made(factor: float, undone: bool = True) -> Joined:
    torch.manual_seed(0)
    return Joined(factor, undone)


@pytest.mark.parametrize("target", ["portable", "openvino", "ort-x64"])
def test_a_layer_that_reads_parts_of_unlike_size_stays_float(target):
    (reason,) = rejected(made(1000.0), IMAGE, target, profit=False).values()
    assert reason.startswith("its input joins values up to ")
    assert "rounded alike, its result keeps " in reason


@pytest.mark.parametrize(("factor", "undone"), [(1.0, True), (8.0, True), (1000.0, False)])
def test_others_are_quantized(factor, undone):
    """A part that hardly matters to the reader is nothing to lose."""
    assert not rejected(made(factor, undone), IMAGE, profit=False)


def test_what_is_asked_for_is_quantized():
    assert not rejected(made(1000.0), IMAGE, override=("mix=w8a8",))


def test_the_first_batch_of_the_calibration_data_is_looked_at():
    batches = lambda: iter([(IMAGE * 1e-4,)])  # noqa: E731
    assert len(rejected(made(1000.0), IMAGE, profit=False)) == 1
    assert not rejected(made(1000.0), IMAGE, calibration=batches, profit=False)


def test_targets_that_round_every_tensor_gain_nothing_by_it():
    assert not rejected(made(1000.0), IMAGE, "qnn")
