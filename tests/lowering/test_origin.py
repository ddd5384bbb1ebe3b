"""What a runtime's message names is led back to the user's source; files hold no paths."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rewrite import capture
from rewrite.lowering.origin import origin_of_named

from .models import lowered, written


class TwoLines(nn.Module):
    def forward(self, x):
        grown = x.exp()
        return grown + x.sin()


@pytest.fixture
def model():
    return lowered(capture(TwoLines().eval(), (torch.randn(3),)))


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("while running Exp node. Name:'node_exp' Status Message: no", "x.exp()"),
        ("Subgraph output (sin) is an outer scope value", "x.sin()"),
        ("While validating ONNX node '<Node(Sin): node_sin>': no", "x.sin()"),
        ("neither 'node_none' nor 'sin' is there", "x.sin()"),
    ],
    ids=["node", "result", "angle brackets", "the first that is one"],
)
def test_a_named_node_is_led_to_its_line(model, message, line):
    where = origin_of_named(model.model, message)
    assert "test_origin.py:" in where
    assert line in where


@pytest.mark.parametrize("message", ["no translation of Sin-20", "Sin: no kernel for float16"])
def test_an_operator_is_led_to_its_first_line(model, message):
    assert "x.sin()" in origin_of_named(model.model, message)


def test_words_are_no_names(model):
    assert origin_of_named(model.model, "Please add an Identity node; exp and sin") == ""


def test_no_line_is_written(model, tmp_path):
    assert b"test_origin" not in written(model, tmp_path).read_bytes()
