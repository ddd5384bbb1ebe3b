"""Bags of one length are gathered and reduced, on every runtime."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rewrite import capture
from rewrite.lowering.export import export_onnx
from rewrite.lowering.lower import feeds, lower, save
from rewrite.runtimes import get_runtime

TOLERANCE = 1e-5
DYNAMIC = {0: torch.export.Dim("bags", max=32), 1: torch.export.Dim("length", min=2, max=32)}
PADDING = 3


class Bags(nn.Module):
    def __init__(self, mode, padding=None, weighted=False):
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.EmbeddingBag(12, 5, mode=mode, padding_idx=padding)
        self.weighted = weighted

    def forward(self, ids):
        return self.table(ids, per_sample_weights=ids / 10 if self.weighted else None)


def ids(bags, length):
    drawn = torch.randint(12, (bags, length), generator=torch.Generator().manual_seed(length))
    drawn[0, :] = PADDING  # a bag of nothing else
    return drawn


def check(model, folder, dynamic):
    program = capture(model.eval(), (ids(4, 6),), (DYNAMIC,) if dynamic else None)
    result = lower(program, 20, {}, {})
    assert "Loop" not in result.ops()
    save(result.model, folder / "model.onnx")
    for runtime in ("onnxruntime", "openvino"):
        loaded = get_runtime(runtime).load(folder / "model.onnx", 1)
        for x in (ids(4, 6), ids(7, 3), ids(2, 9)) if dynamic else (ids(4, 6),):
            (found,) = loaded.run(feeds(program, [x], program.signature.input_names)).values()
            np.testing.assert_allclose(found, model(x).detach(), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding", [None, PADDING, -9], ids=["all", "padded", "from the end"])
@pytest.mark.parametrize("dynamic", [False, True], ids=["fixed", "dynamic"])
def test_bags(mode, padding, dynamic, tmp_path):
    check(Bags(mode, padding), tmp_path, dynamic)


@pytest.mark.parametrize("padding", [None, PADDING], ids=["all", "padded"])
def test_weights_of_samples(padding, tmp_path):
    check(Bags("sum", padding, weighted=True), tmp_path, dynamic=True)


def test_bags_with_offsets_stay_what_they_are():
    class Ragged(nn.Module):
        def forward(self, table, ids, offsets):
            return F.embedding_bag(ids, table, offsets, mode="sum")

    inputs = (torch.randn(9, 4), torch.arange(8), torch.tensor([0, 3, 5]))
    program = capture(Ragged().eval(), inputs)
    assert "embedding_bag" in program.text()
    assert "Loop" in {node.op_type for node in export_onnx(program, 20, {}).graph}
