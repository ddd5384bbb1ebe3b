"""Padding of every mode, with negative amounts, computes what PyTorch does on both runtimes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.export import Dim

from rewrite import capture
from rewrite.runtimes import get_runtime

from .models import Call, lowered, written

MODES = ("constant", "reflect", "replicate", "circular")
AMOUNTS = {
    1: [(2, 1), (-1, 2), (3, -2), (-1, -1), (5, 5)],
    2: [(2, 1, 0, 2), (-1, 2, 1, -2), (0, 0, 2, 2)],
    3: [(1, 1, 2, 0, 1, 2), (-1, 1, 0, -2, 2, 2)],
}


def padded(amounts: tuple[int, ...], mode: str):
    return Call(lambda x: F.pad(x, amounts, mode) * 2).eval()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dims", AMOUNTS)
def test_padding(dims, mode, tmp_path):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, *(6, 7, 5)[:dims], generator=generator)
    for amounts in AMOUNTS[dims]:
        if mode == "reflect" and max(amounts) > 4:
            continue
        model = padded(amounts, mode)
        path = written(lowered(capture(model, (x,), ({0: Dim("batch", max=8)},))), tmp_path)
        other = torch.randn(3, *x.shape[1:], generator=generator)
        for name in ("onnxruntime", "openvino"):
            (found,) = get_runtime(name).load(path, threads=1).run({"x": other.numpy()}).values()
            np.testing.assert_allclose(found, model(other).numpy(), rtol=0, atol=1e-6)


def test_circular_padding_of_a_dynamic_width(tmp_path):
    x, model = torch.randn(2, 3, 6), padded((2, 3), "circular")
    path = written(lowered(capture(model, (x,), ({2: Dim("width", min=3, max=50)},))), tmp_path)
    for width in (4, 9):
        other = torch.randn(2, 3, width)
        for name in ("onnxruntime", "openvino"):
            (found,) = get_runtime(name).load(path, threads=1).run({"x": other.numpy()}).values()
            np.testing.assert_allclose(found, model(other).numpy(), rtol=0, atol=1e-6)
