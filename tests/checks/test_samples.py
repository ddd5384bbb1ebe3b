"""What a file is run on: sizes that the model takes, and a word about those it does not."""

from __future__ import annotations

import torch
from torch import nn

from rewrite import Model, capture
from rewrite.checks.samples import take_samples

Dim = torch.export.Dim


class Graph(nn.Module):
    """Edges index nodes: nodes must not become fewer."""

    def forward(self, nodes, edges):
        return torch.zeros_like(nodes).index_add(0, edges[1], nodes[edges[0]])


def taken(model, inputs, sizes):
    program = capture(model.eval(), inputs, sizes)
    return take_samples(Model("model", lambda: model, lambda: inputs), program, model)


def test_where_a_model_breaks_on_fewer_all_sizes_are_larger():
    torch.manual_seed(0)
    nodes, edges = Dim("nodes", min=2, max=400), Dim("edges", min=2, max=500)
    inputs = (torch.randn(25, 4), torch.randint(0, 25, (2, 30)))
    inputs[1][:, 0] = 24
    samples, warnings = taken(Graph(), inputs, ({0: nodes}, {1: edges}))
    assert [sample.label for sample in samples] == [
        "the example inputs",
        "nodes=26, edges=17",
        "nodes=26, edges=31",
        "nodes=25, edges=120",
    ]
    assert len(warnings) == 1
    assert "breaks on inputs drawn at nodes=3, edges=31 (IndexError" in warnings[0]
    for sample in samples:
        assert torch.equal(sample.expected[0], Graph()(*sample.inputs[0]))


def test_every_size_is_tried_smaller_and_larger():
    sizes = ({0: Dim("rows", min=2), 1: Dim("columns", min=2)},)
    samples, warnings = taken(nn.ReLU(), (torch.randn(8, 40),), sizes)
    labels = [sample.label for sample in samples]
    assert labels == [
        "the example inputs",
        "rows=3, columns=41",
        "rows=9, columns=17",
        "rows=2, columns=2",
        "rows=2, columns=160",
    ]
    assert [sample.is_resized for sample in samples] == [False, True, True, True, True]
    assert not warnings


def given(example, *batches):
    """Return the warnings of a model with an image and a mask of -inf, and calibration data."""
    model = Masked().eval()
    mask = torch.tensor([0.0, float("-inf")])
    inputs = [(image, mask) for image in (example, *batches)]
    description = Model("model", lambda: model, lambda: inputs[0], calibration=lambda: inputs[1:])
    return take_samples(description, capture(model, inputs[0]), model)[1]


class Masked(nn.Module):
    def forward(self, image, mask):
        return (image * 2 + mask).exp()


def test_calibration_data_that_are_prepared_otherwise_are_told():
    image = torch.rand(3, 2, generator=torch.Generator().manual_seed(0))
    assert not given(image, image * 3, image / 3)
    assert not given(torch.zeros(3, 2), image)
    (warning,) = given(image, image * 255, image * 200)
    assert warning.startswith("the example's 'image' is 228 times smaller than that of calibration")
    (warning,) = given(image * 255, image, image)
    assert "'image' is 255 times larger" in warning and "prepare it alike" in warning
