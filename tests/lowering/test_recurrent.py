"""Recurrent layers over any number of steps: one operator for each layer, right at every size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rewrite import CaptureError, capture
from rewrite.artifact import deployed_runner
from rewrite.runtimes import get_runtime

from .models import lowered, written

TOLERANCE = 1e-5
BATCH, STEPS = torch.export.Dim("batch", max=32), torch.export.Dim("steps", max=99)
KINDS = {
    "lstm": lambda **o: nn.LSTM(3, 4, **o),
    "gru": lambda **o: nn.GRU(3, 4, **o),
    "tanh": lambda **o: nn.RNN(3, 4, **o),
    "relu": lambda **o: nn.RNN(3, 4, nonlinearity="relu", **o),
}
FORMS = {
    "plain": {},
    "deep": {"num_layers": 2, "batch_first": True},
    "both": {"bidirectional": True, "num_layers": 2},
    "unbiased": {"bias": False, "bidirectional": True, "batch_first": True},
}


class Recurrent(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        result, state = self.layer(x)
        return result, state


class Continued(Recurrent):
    def forward(self, x, state):
        return self.layer(x, state)[0]


def sizes(batch_first):
    return ({0: BATCH, 1: STEPS} if batch_first else {0: STEPS, 1: BATCH},)


def agrees_at_every_size(model, program, runtime, path, draws):
    run = deployed_runner(program, get_runtime(runtime).load(path, 1))
    for inputs in draws:
        expected = torch.utils._pytree.tree_leaves(model(*inputs))
        for results in (program(*inputs), run(*inputs)):
            for one, other in zip(expected, torch.utils._pytree.tree_leaves(results), strict=True):
                torch.testing.assert_close(other, one, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
def test_every_kind_is_right_at_every_size(kind, form, tmp_path):
    torch.manual_seed(0)
    options = FORMS[form]
    model = Recurrent(KINDS[kind](**options)).eval()
    program = capture(model, (torch.randn(5, 6, 3),), sizes(options.get("batch_first")))
    result = lowered(program)
    op = {"lstm": "LSTM", "gru": "GRU"}.get(kind, "RNN")
    assert result.ops()[op] == options.get("num_layers", 1)
    draws = [(torch.randn(a, b, 3),) for a, b in ((5, 6), (1, 1), (7, 2))]
    for runtime in ("onnxruntime", "openvino"):
        agrees_at_every_size(model, program, runtime, written(result, tmp_path), draws)


def test_a_given_state_is_where_it_begins(tmp_path):
    torch.manual_seed(0)
    model = Continued(nn.GRU(3, 4, num_layers=2)).eval()
    shapes = ({0: STEPS, 1: BATCH}, {1: BATCH})
    program = capture(model, (torch.randn(5, 6, 3), torch.randn(2, 6, 4)), shapes)
    path = written(lowered(program), tmp_path)
    draws = [(torch.randn(9, 2, 3), torch.randn(2, 2, 4))]
    agrees_at_every_size(model, program, "onnxruntime", path, draws)


def test_weights_stay_what_they_are_called():
    program = capture(Recurrent(nn.LSTM(3, 4)).eval(), (torch.randn(5, 6, 3),), sizes(False))
    names = [name for name, _ in program.used_weights()]
    assert "layer.weight_ih_l0" in names
    assert "layer.weight_hh_l0" in names


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_projected_states_over_known_steps(form, runtime, tmp_path):
    pytest.importorskip(runtime)
    torch.manual_seed(0)
    model = Recurrent(nn.LSTM(3, 4, proj_size=2, **FORMS[form])).eval()
    batch = {0 if FORMS[form].get("batch_first") else 1: BATCH}
    program = capture(model, (torch.randn(5, 5, 3),), (batch,))
    path = written(lowered(program, 20), tmp_path)
    shape = [5, 5, 3]
    shape[next(iter(batch))] = 2
    agrees_at_every_size(model, program, runtime, path, [(torch.randn(shape),)])


def test_projected_states_are_refused_with_their_line():
    model = Recurrent(nn.LSTM(3, 4, proj_size=2)).eval()
    with pytest.raises(CaptureError, match="the dynamic shapes do not hold") as caught:
        capture(model, (torch.randn(5, 6, 3),), sizes(False))
    assert str(caught.value.where).endswith("result, state = self.layer(x)")
