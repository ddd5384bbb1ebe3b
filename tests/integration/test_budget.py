"""Budgets of size on models with history: what is promised is in the file, and it runs."""

import onnx
import pytest
from onnx import numpy_helper

from rewrite.budget import Budget
from rewrite.budget_search import meet_budget
from rewrite.compile import compile_model
from rewrite.job import choose_passes
from rewrite.plugin_host import PluginHost
from rewrite.request import Request
from rewrite.talk import Talk

HOST = PluginHost()
BERT = """
import torch
from transformers import BertConfig, BertForSequenceClassification


def model():
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=64, hidden_size=64, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=128, max_position_embeddings=32,
    )
    return BertForSequenceClassification(config).eval()


def inputs():
    ids = torch.arange(24).reshape(2, 12) % 64
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
"""
FOUR_BITS = (onnx.TensorProto.INT4, onnx.TensorProto.UINT4)


def initializer_bytes(path):
    total = 0
    for each in onnx.load(path).graph.initializer:
        array = numpy_helper.to_array(each)
        total += -(-array.size // 2) if each.data_type in FOUR_BITS else array.nbytes
    return total


@pytest.mark.parametrize(
    ("model", "preset", "target", "budget"),
    [
        ("zoo:resnet-digits", "int8", "portable", "0.4x"),
        ("zoo:opt-docstrings", "int4-weights", "ort-weight-only", "28dB,715kB"),
        ("bert", "int8", "portable", "0.6x"),
    ],
)
def test_a_budget_of_size_is_what_the_file_takes(model, preset, target, budget, tmp_path):
    if model == "bert":
        model = tmp_path / "model.py"
        model.write_text(BERT)
    out = tmp_path / "out.onnx"
    request = Request(str(model), preset=preset, target=target, output=out, evaluate=False)
    wanted = Budget.parse(budget)
    found = meet_budget(request, choose_passes(HOST, request), HOST, Talk(), wanted)
    assert found.changes and found.reached_db > found.start_db
    # It may be better: additions around a layer that becomes float are no longer quantized either.
    assert found.reached_db >= found.changes[-1].expected_db - 1
    result = compile_model(found.request, HOST)
    assert not result.artifact.first.problem
    assert initializer_bytes(out) == found.reached_bytes
    if wanted.bytes:
        assert found.reached_bytes <= wanted.bytes and found.reached_db >= wanted.db
