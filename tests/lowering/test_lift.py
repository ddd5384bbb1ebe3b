"""Programs reach the exporter without another trace, unless it must decompose them."""

import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rewrite import capture
from rewrite.lowering import lift

from .models import lowered, run, translated_ops, written

X = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def traces(monkeypatch):
    seen = []
    trace = lift.re_export

    def count(program, **options):
        seen.append(program)
        return trace(program, **options)

    monkeypatch.setattr(lift, "re_export", count)
    return seen


def test_what_has_translations_is_not_traced_again(traces, tmp_path):
    weight = torch.randn(6, 6)
    translated_ops(X, lambda x: F.gelu(F.layer_norm(F.linear(x, weight), (6,))), tmp_path)
    assert not traces


def test_what_has_none_is_decomposed(traces, tmp_path):
    translated_ops(X, lambda x: F.smooth_l1_loss(x, x.flip(0), reduction="none"), tmp_path)
    assert len(traces) == 1


def test_weights_may_be_outputs_and_inputs_may_return(tmp_path):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("grid", torch.arange(6.0))

        def forward(self, x, flag=True):
            return x, self.grid, x + self.grid, flag

    program = capture(Odd().eval(), (X, True), None)
    path = written(lowered(program), tmp_path)
    results = run(path, program).values()
    returned = (X, torch.arange(6.0), X + torch.arange(6.0))
    for result, expected in zip(results, returned, strict=True):
        torch.testing.assert_close(torch.from_numpy(result), expected)


def test_subgraphs_are_left_to_torch_export(traces, tmp_path):
    class Branch(nn.Module):
        def forward(self, x):
            return torch.cond(x.sum() > 0, lambda v: v * 2, lambda v: v - 1, (x,))

    program = capture(Branch().eval(), (X,), ({0: torch.export.Dim("batch", max=8)},))
    path = written(lowered(program), tmp_path)
    session = onnxruntime.InferenceSession(str(path))
    for x in (X.abs(), -X.abs()):
        (result,) = session.run(None, {"x": x.numpy()})
        torch.testing.assert_close(torch.from_numpy(result), Branch()(x))
    assert traces
