"""Quantizers behind a Concat stay there for OpenVINO, which moves them to the wrong axis."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rewrite.lowering.lower import lower
from rewrite.runtimes import RuntimeFailure, get_runtime

from .models import agreement, quantized, written

pytest.importorskip("openvino")
AVOIDS = ("zero-point-behind-concat",)
TOKENS = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0)) + 0.5
IMAGE = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(1)) + 0.5


class Joined(nn.Module):
    """What is done to one half, joined with the other, and read by a layer."""

    def __init__(self, layer: nn.Module, dim: int, other: nn.Module, behind: nn.Module):
        super().__init__()
        self.layer, self.dim, self.other, self.behind = layer, dim, other, behind

    def forward(self, x):
        return self.layer(self.behind(torch.cat((x, self.other(x)), self.dim)))


class Scaled(nn.Module):
    def forward(self, x):
        return x * 3.0


def tokens(behind: nn.Module, layer: nn.Module | None = None) -> tuple[nn.Module, torch.Tensor]:
    return Joined(layer or nn.Linear(8, 5), 1, nn.Linear(8, 8), behind), TOKENS


MOVED = {
    "tokens": lambda: tokens(nn.Identity()),
    "tokens, clipped": lambda: tokens(nn.Hardtanh(-2, 3)),
    "tokens, scaled": lambda: tokens(Scaled()),
    "rows of an image": lambda: (
        Joined(nn.Conv2d(4, 5, 3), 2, nn.Conv2d(4, 4, 1), nn.Identity()),
        IMAGE,
    ),
}
KEPT = {
    "features": lambda: (Joined(nn.Linear(16, 5), 2, nn.Linear(8, 8), nn.Identity()), TOKENS),
    "channels": lambda: (
        Joined(nn.Conv2d(8, 5, 3), 1, nn.Conv2d(4, 4, 1), nn.Identity()),
        IMAGE,
    ),
    "rows of rows": lambda: tokens(nn.Identity(), nn.Sequential(nn.Flatten(0, 1), nn.Linear(8, 5))),
    "behind a sigmoid": lambda: tokens(nn.Sigmoid()),
    "positive numbers": lambda: tokens(nn.ReLU()),
}


def fired(program, lowered, folder) -> list[bool]:
    """Hold a file to its program on OpenVINO, and tell for each layer whether it is int8."""
    loaded = get_runtime("openvino").load(written(lowered, folder), threads=1)
    found = agreement(program, loaded, [program.example])
    assert found.difference.sqnr_db > 40
    return [verdict.fired for verdict in loaded.kernels() if verdict.eligible]


@pytest.mark.parametrize("case", MOVED)
def test_a_quantizer_that_would_be_moved_is_held(case, tmp_path):
    torch.manual_seed(0)
    module, x = MOVED[case]()
    program = quantized(module, x, target="openvino")
    plain = lower(program, 20, {}, {}, ())
    if x is IMAGE:
        assert fired(program, plain, tmp_path) == [True, False]
    else:
        with pytest.raises(RuntimeFailure, match="MatMulTransformation"):
            fired(program, plain, tmp_path)
    held = lower(program, 20, {}, {}, AVOIDS)
    assert held.ops()["Max"] == 1
    assert fired(program, held, tmp_path) == [True, True]


@pytest.mark.parametrize("case", KEPT)
def test_others_are_left_alone(case, tmp_path):
    torch.manual_seed(0)
    module, x = KEPT[case]()
    program = quantized(module, x, target="openvino")
    lowered = lower(program, 20, {}, {}, AVOIDS)
    assert "Max" not in lowered.ops()
    assert all(fired(program, lowered, tmp_path))


def test_a_concat_that_is_returned_keeps_its_values(tmp_path):
    class Returned(Joined):
        def forward(self, x):
            joined = torch.cat((x, self.other(x)), self.dim)
            return joined, self.layer(joined)

    torch.manual_seed(0)
    module = Returned(nn.Linear(8, 5), 1, nn.Linear(8, 8), nn.Identity())
    program = quantized(module, TOKENS, target="openvino")
    lowered = lower(program, 20, {}, {}, AVOIDS)
    assert lowered.ops()["Max"] == 1
    assert all(fired(program, lowered, tmp_path))
