"""A few architectures of AutoModel; `python -m tests.automodel.sweep` tries them all."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("transformers")

from .judge import compare, judge
from .table import table
from .tiny import LARGEST, architectures, make


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("bert", ["input_ids", "attention_mask"]),
        ("vit", ["pixel_values"]),
        ("clip", ["input_ids", "attention_mask", "pixel_values"]),
        ("t5", ["input_ids", "attention_mask", "decoder_input_ids"]),
    ],
)
def test_it_is_tiny_and_takes_its_inputs_at_other_sizes(kind, names):
    made = make(kind)
    assert list(made.inputs) == names
    assert sum(p.numel() for p in made.model.parameters()) < LARGEST
    other = made.resized(3, 5)
    assert {value.shape[0] for value in other.values()} == {3}
    with torch.no_grad():
        made.model(**other)


def test_what_cannot_be_made_says_why():
    assert len(architectures()) > 300
    with pytest.raises(LookupError, match="million parameters"):
        make("perceiver")


def test_an_architecture_agrees_and_another_model_does_not(tmp_path):
    row = judge("llama4_text", "float", keep=tmp_path)
    assert row["outcome"] == "agrees", row
    assert row["dynamic"] == "batch+tokens"
    made = make("llama4_text")
    with torch.no_grad():
        for value in made.model.parameters():
            value += 0.01 * torch.randn_like(value)
    found = compare(made, tmp_path / "model.onnx", ("batch", "tokens"), quantized=False)
    assert max(found.values()) < 40


def test_the_table_lists_what_does_not_agree():
    row = {"preset": "float", "dynamic": "batch", "reason": "", "notes": []}
    text = table(
        [
            {**row, "architecture": "one", "outcome": "agrees"},
            {**row, "architecture": "two", "outcome": "wrong", "reason": "12 dB"},
        ]
    )
    assert "| agrees | 1 |" in text
    assert "## float: wrong" in text
    assert "| `two` | batch | 12 dB |" in text
    assert "`one`" not in text
